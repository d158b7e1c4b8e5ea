import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { MAX_STREAMS } from '../../src/config/max-streams.ts';
import { type KvOptions, policyOf } from '../../src/cache/kv-options.ts';
import { measureAttention } from '../../src/engine/measure-attention.ts';
import { anyTokens } from '../../src/engine/decode-run.ts';
import { measureDecode, measureKernels, measurePrefill } from '../../src/engine/measure.ts';
import type { Adaptation } from '../../src/engine/adaptation.ts';
import type { Session } from '../../src/engine/session.ts';
import { KV_FLAGS, kvOptions, listFlag, MODEL_FLAGS, numberFlag, parseFlags } from '../flags.ts';
import type { Output } from '../output.ts';
import { withModel } from '../open-model.ts';
import { rankOptions } from '../ranks.ts';

const FLAGS = {
  ...MODEL_FLAGS,
  ...KV_FLAGS,
  lengths: { type: 'string', short: 'T' },
  steps: { type: 'string' },
  streams: { type: 'string' },
} as const;

const DEFAULT_LENGTHS = [256];
const DEFAULT_STEPS = 32;
const PREFILL_REPEATS = 3;
/** Every form that all pages may have. */
const FORMS: readonly KvOptions[] = [{ kv: 'dense' }, { kv: 'q8' }, { kv: 'q4' }, { kv: 'k4v2' }];

/**
 * `bench decode|prefill|kernels|attention`: timings on this device; `-T` lists contexts in tokens. `--streams N`:
 * sequences that share a decode step; of several each takes one of the adapters, in turn. `attention` is that of one
 * layer, for one token and for a batch, with every form of the cache unless `--kv` names one.
 */
export async function bench(args: string[]): Promise<Output> {
  const { values, positionals } = parseFlags(args, FLAGS, true);
  const lengths = listFlag('lengths', values.lengths) ?? DEFAULT_LENGTHS;
  const steps = numberFlag('steps', values.steps, 1) ?? DEFAULT_STEPS;
  const streams = Math.floor(numberFlag('streams', values.streams, 1, MAX_STREAMS) ?? 1);
  const kv = kvOptions(values);
  const policy = policyOf(kv);
  const measures: Record<string, (session: Session, length: number, adaptations: Adaptation[]) => Promise<object[]>> = {
    decode: async (session, length, adaptations) => [await measureDecode(session, length, steps, adaptations, { policy })],
    prefill: async (session, length, [adaptation]) => [
      await measurePrefill(session, anyTokens(session, length), PREFILL_REPEATS, adaptation, policy),
    ],
    kernels: async (session, length) => [{ context: length, kernels: await measureKernels(session, length, 1) }],
    attention: async (session, length) => {
      const timings: object[] = [];
      for (const form of kv.kv ? [kv] : FORMS) timings.push(...(await measureAttention(session, length, form)));
      return timings;
    },
  };
  const measure = measures[positionals[0] ?? ''];
  if (!measure) {
    throw new ChunkwiseError('bad_request', { field: 'bench', reason: `one of ${Object.keys(measures).join(', ')}` });
  }
  const ranks = await rankOptions(values);
  const asked = numberFlag('context-length', values['context-length'], 1);
  // Attention alone is quickly measured at any context; the others leave room for what is decoded.
  const contextLength = positionals[0] === 'attention' ? Math.max(asked ?? 0, ...lengths) : asked;
  return withModel(values, async (engine, uses) => {
    const adaptations: Adaptation[] = [];
    for (let stream = 0; stream < streams; stream++) {
      const own = streams === 1 ? uses : uses.slice(stream % uses.length).slice(0, 1);
      adaptations.push(await engine.adapt(own, ranks));
    }
    const results: object[] = [];
    for (const length of lengths) results.push(...(await engine.alone((session) => measure(session, length, adaptations))));
    const json = { device: engine.device, results };
    return { json, text: [engine.device, ...results.map((result) => JSON.stringify(result))].join('\n') };
  }, contextLength);
}
