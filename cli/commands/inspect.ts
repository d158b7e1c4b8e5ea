import { readModule } from '../../src/adapters/adapter-file.ts';
import { readAdapterHeader } from '../../src/adapters/adapter-header.ts';
import { contentHash } from '../../src/adapters/content-hash.ts';
import { levelRanks } from '../../src/adapters/ladder-levels.ts';
import { buildLadder } from '../../src/adapters/rank-ladder.ts';
import { openGguf } from '../../src/weights/gguf-split.ts';
import { parseFlags, required } from '../flags.ts';
import { isDirectory, openAdapter } from '../open-adapter.ts';
import { openSources } from '../open-model.ts';
import type { Output } from '../output.ts';

/**
 * `inspect FILE`: a model file's metadata and tensors; any well-formed GGUF file, also one that does not run here. Of
 * an adapter, a PEFT directory or a GGUF file, its modules and their singular values.
 */
export async function inspect(args: string[]): Promise<Output> {
  const { positionals } = parseFlags(args, { json: { type: 'boolean' } }, true);
  const path = required('FILE', positionals[0]);
  if (await isDirectory(path)) return inspectAdapter(path);
  const model = await inspectGguf(path);
  if (!model.isAdapter) return model;
  const adapter = await inspectAdapter(path);
  return { json: { ...model.json, ...adapter.json }, text: `${model.text}\n${adapter.text}` };
}

async function inspectGguf(path: string): Promise<Output & { isAdapter: boolean }> {
  const sources = await openSources(path);
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
    return { json, text: lines.join('\n'), isAdapter: metadata.get('general.type') === 'adapter' };
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

async function inspectAdapter(path: string): Promise<Output> {
  const { source, close } = await openAdapter(path);
  try {
    const header = await readAdapterHeader(source);
    const modules: object[] = [];
    const spectra: Record<string, number[]> = {};
    const tensors = header.pairs.flatMap(({ a, b }) => [a, b]);
    for (const pair of header.pairs) {
      const { name, outFeatures, inFeatures, rank, scale, a, b } = await readModule(header, pair);
      modules.push({ name, shape: [outFeatures, inFeatures], rank, scale });
      spectra[name] = Array.from(buildLadder(a, b, rank, scale).singularValues);
    }
    const levels = levelRanks(Object.values(spectra).map((singularValues) => ({ singularValues })));
    const json = {
      format: header.format === 'peft' ? 'PEFT' : 'GGUF LoRA',
      architecture: header.architecture ?? null,
      tensors: tensors.map(({ name, shape, type, bytes }) => ({ name, shape, type, bytes })),
      totalBytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
      baseModel: header.baseModel ?? null,
      rank: header.rank,
      alpha: header.alpha,
      modules,
      spectra,
      meanRanks: levels.meanRanks,
      warnings: header.warnings,
      contentHash: await contentHash(source),
    };
    const lines = [
      `${json.format}, rank ${json.rank}, alpha ${json.alpha}, ${modules.length} modules, ${json.totalBytes} bytes`,
      ...header.warnings,
      `mean rank by level: ${levels.meanRanks.map((rank) => rank.toFixed(2)).join(', ')}`,
      ...Object.entries(spectra).map(([name, values]) => `${name} ${values.map((v) => v.toPrecision(3)).join(' ')}`),
    ];
    return { json, text: lines.join('\n') };
  } finally {
    await close();
  }
}

const MAX_TEXT = 200;

/** Vocabularies and templates are long: their length says enough. */
function summary(value: unknown): unknown {
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return `[${(value as ArrayLike<unknown>).length} values]`;
  return typeof value === 'string' && value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value;
}
