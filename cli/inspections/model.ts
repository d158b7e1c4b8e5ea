import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { checkEncoderTensors, isEncoder, readEncoderConfig } from '../../src/weights/encoder-config.ts';
import { JsonFields } from '../../src/weights/safetensors/json-file.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import type { ModelHeader } from '../../src/weights/model-header.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { refusePickle } from '../../src/weights/open-model-file.ts';
import { isSafetensors, openSafetensorsModel } from '../../src/weights/safetensors/safetensors-model.ts';
import { readSafetensors } from '../../src/weights/safetensors/safetensors-reader.ts';
import type { TensorInfo } from '../../src/weights/tensor-info.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { closeAll, openSources } from '../../src/node/model-files.ts';
import type { Output } from '../output.ts';

/** Contents of a model's files. */
interface Found {
  format: string;
  architecture: string | null;
  name: string | null;
  metadata: Record<string, unknown>;
  tensors: readonly TensorInfo[];
  model: () => Promise<ModelHeader> | ModelHeader;
}

/** Inspects a GGUF or safetensors model: metadata, stored tensors, and whether it runs here. */
export async function inspectModel(path: string): Promise<Output> {
  const sources = await openSources(path);
  try {
    const { model, ...found } = isSafetensors(sources) ? await readFolder(sources) : await readGgufFiles(sources);
    const tensors = found.tensors.map(({ name, shape, type, bytes }) => ({ name, shape, type, bytes }));
    const totalBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
    const json = { ...found, ...(await support(model)), tensors, totalBytes };
    const { format, architecture, metadata, reason } = json;
    const lines = [
      `${format}, ${architecture ?? 'no architecture'}, ${tensors.length} tensors, ${totalBytes} bytes`,
      ...(isAdapter(json) ? [] : [reason === null ? 'runs here' : `does not run here: ${reason}`]),
      ...Object.entries(metadata).map(
        ([key, value]) => `${key} = ${typeof value === 'string' ? value : JSON.stringify(value)}`,
      ),
      ...tensors.map(({ name, shape, type, bytes }) => `${name} [${shape.join(', ')}] ${type} ${bytes}`),
    ];
    return { json, text: lines.join('\n') };
  } finally {
    await closeAll(sources);
  }
}

/** Whether a GGUF file is an adapter by its metadata. */
export const isAdapter = (json: object): boolean =>
  'metadata' in json && (json.metadata as Record<string, unknown>)['general.type'] === 'adapter';

async function readGgufFiles(sources: readonly ByteSource[]): Promise<Found> {
  const [first] = sources as [ByteSource];
  const file = await openGguf(sources).catch((error: unknown) => refusePickle(first, 'model', error));
  const { version, metadata, tensors } = file;
  return {
    format: `GGUF v${version}`,
    architecture: metadata.optionalString('general.architecture') ?? null,
    name: metadata.optionalString('general.name') ?? null,
    metadata: Object.fromEntries(metadata.keys.map((key) => [key, summary(metadata.get(key))])),
    tensors,
    model: () => file,
  };
}

async function readFolder(sources: readonly ByteSource[]): Promise<Found> {
  const source = sources.find(({ name }) => /(^|[/\\])config\.json$/.test(name));
  const config = source && (await JsonFields.read(source)).values;
  const text = (key: string): string | null =>
    typeof config?.[key] === 'string' && config[key] !== '' ? config[key] : null;
  const files = await Promise.all(sources.filter((each) => isSafetensors([each])).map(readSafetensors));
  return {
    format: 'safetensors',
    architecture: text('model_type'),
    name: text('_name_or_path'),
    metadata: Object.fromEntries(Object.entries(config ?? {}).map(([key, value]) => [key, summary(value)])),
    tensors: files.flatMap(({ tensors }) => tensors),
    model: () => openSafetensorsModel(sources),
  };
}

/** Whether a model would load, given enough memory. */
async function support(open: Found['model']): Promise<{ supported: boolean; reason: string | null }> {
  try {
    const model = await open();
    if (isEncoder(model)) checkEncoderTensors(model, readEncoderConfig(model));
    else checkTensors(model, readModelConfig(model));
    createTokenizer(readTokenizerMetadata(model));
    return { supported: true, reason: null };
  } catch (error) {
    if (error instanceof ChunkwiseError) return { supported: false, reason: error.message };
    throw error;
  }
}

const MAX_TEXT = 200;

/** Vocabularies and templates are long, so only their length is shown. */
function summary(value: unknown): unknown {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${(value as ArrayLike<unknown>).length} values]`;
  return typeof value === 'string' && value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value;
}
