import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { measureDecode, measureKernels, measurePrefill } from '../../src/engine/measure.ts';
import type { AdapterMix } from '../../src/engine/adapter-mix.ts';
import type { Session } from '../../src/engine/session.ts';
import { listFlag, MODEL_FLAGS, numberFlag, parseFlags } from '../flags.ts';
import type { Output } from '../output.ts';
import { withModel } from '../open-model.ts';

const FLAGS = {
  ...MODEL_FLAGS,
  lengths: { type: 'string', short: 'T' },
  steps: { type: 'string' },
} as const;

const DEFAULT_LENGTHS = [256];
const DEFAULT_STEPS = 32;
const PREFILL_REPEATS = 3;

/** `bench decode|prefill|kernels`: timings on this device; `-T` lists contexts in tokens. */
export async function bench(args: string[]): Promise<Output> {
  const { values, positionals } = parseFlags(args, FLAGS, true);
  const lengths = listFlag('lengths', values.lengths) ?? DEFAULT_LENGTHS;
  const steps = numberFlag('steps', values.steps, 1) ?? DEFAULT_STEPS;
  const measures: Record<string, (session: Session, length: number, mix?: AdapterMix) => Promise<object>> = {
    decode: (session, length, mix) => measureDecode(session, length, steps, mix),
    prefill: (session, length, mix) => measurePrefill(session, length, PREFILL_REPEATS, mix),
    kernels: async (session, length) => ({ context: length, kernels: await measureKernels(session, length, 1) }),
  };
  const measure = measures[positionals[0] ?? ''];
  if (!measure) {
    throw new ChunkwiseError('bad_request', { field: 'bench', reason: `one of ${Object.keys(measures).join(', ')}` });
  }
  return withModel(values, async (engine, uses) => {
    const session = await engine.session();
    const mix = uses.length > 0 ? await engine.adapterMix(uses) : undefined;
    const results: object[] = [];
    for (const length of lengths) results.push(await measure(session, length, mix));
    const json = { device: engine.device, results };
    return { json, text: [engine.device, ...results.map((result) => JSON.stringify(result))].join('\n') };
  });
}
