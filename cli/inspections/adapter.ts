import { contentHash, readModule } from '../../src/adapters/adapter-file.ts';
import { type AdapterHeader, readAdapterHeader } from '../../src/adapters/adapter-header.ts';
import { levelRanks } from '../../src/adapters/level-ranks.ts';
import { buildLadder } from '../../src/adapters/rank-ladder.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { openAdapter } from '../../src/node/open-adapter.ts';
import type { Output } from '../output.ts';

/** Inspects an adapter: its modules and their singular values, or the reason why it does not run here. */
export async function inspectAdapter(path: string): Promise<Output> {
  const { source, close } = await openAdapter(path);
  try {
    const header = await readAdapterHeader(source).catch(refused);
    if (header instanceof ChunkwiseError) return unsupported('gguf' in source ? 'gguf' : 'peft', header.message);
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
      format: FORMATS[header.format],
      architecture: header.architecture ?? null,
      supported: true,
      reason: null,
      tensors: tensors.map(({ name, shape, type, bytes }) => ({ name, shape, type, bytes })),
      totalBytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
      baseModel: header.baseModel ?? null,
      rank: header.rank,
      alpha: header.alpha,
      invocationTokens: header.invocation?.tokens ?? null,
      modules,
      spectra,
      meanRanks: levels.meanRanks,
      contentHash: await contentHash(source),
    };
    const lines = [
      `${json.format}, rank ${json.rank}, alpha ${json.alpha}, ${modules.length} modules, ${json.totalBytes} bytes`,
      ...(json.invocationTokens ? [`activated by the tokens ${json.invocationTokens.join(', ')}`] : []),
      `mean rank by level: ${levels.meanRanks.map((rank) => rank.toFixed(2)).join(', ')}`,
      ...Object.entries(spectra).map(([name, values]) => `${name} ${values.map((v) => v.toPrecision(3)).join(' ')}`),
    ];
    return { json, text: lines.join('\n') };
  } finally {
    await close();
  }
}

const FORMATS: Record<AdapterHeader['format'], string> = { peft: 'PEFT', gguf: 'GGUF LoRA' };

/** A valid but unsupported adapter is a result, not an error. */
function refused(error: unknown): ChunkwiseError {
  if (error instanceof ChunkwiseError && error.code === 'unsupported') return error;
  throw error;
}

function unsupported(form: AdapterHeader['format'], reason: string): Output {
  const json = { format: FORMATS[form], supported: false, reason, rank: null, alpha: null, modules: [], spectra: {} };
  return { json, text: `${json.format}, does not run here: ${reason}` };
}
