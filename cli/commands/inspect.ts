import { openGguf } from '../../src/weights/gguf-split.ts';
import { parseFlags, required } from '../flags.ts';
import type { Output } from '../output.ts';
import { openSources } from '../open-model.ts';

/** `inspect FILE`: a model file's metadata and tensors; any well-formed GGUF file, also one that does not run here. */
export async function inspect(args: string[]): Promise<Output> {
  const { positionals } = parseFlags(args, { json: { type: 'boolean' } }, true);
  const sources = await openSources(required('FILE', positionals[0]));
  try {
    const { version, metadata, tensors } = await openGguf(sources);
    const totalBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
    const json = {
      format: `GGUF v${version}`,
      architecture: metadata.optionalString('general.architecture') ?? null,
      name: metadata.optionalString('general.name') ?? null,
      metadata: Object.fromEntries(metadata.keys.map((key) => [key, summary(metadata.get(key))])),
      tensors: tensors.map(({ name, shape, type, bytes }) => ({ name, shape, type, bytes })),
      totalBytes,
    };
    const lines = [
      `${json.format}, ${json.architecture ?? 'no architecture'}, ${tensors.length} tensors, ${totalBytes} bytes`,
      ...Object.entries(json.metadata).map(([key, value]) => `${key} = ${String(value)}`),
      ...json.tensors.map(({ name, shape, type, bytes }) => `${name} [${shape.join(', ')}] ${type} ${bytes}`),
    ];
    return { json, text: lines.join('\n') };
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

const MAX_TEXT = 200;

/** Vocabularies and templates are long: their length says enough. */
function summary(value: unknown): unknown {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${(value as ArrayLike<unknown>).length} values]`;
  return typeof value === 'string' && value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value;
}
