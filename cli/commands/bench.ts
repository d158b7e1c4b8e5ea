import { largest } from '../../src/util/numbers.ts';
import { MAX_SEQUENCES } from '../../src/config/limits.ts';
import { type KvOptions, policyOf } from '../../src/cache/policy.ts';
import {
  measureAttention,
  type KernelTiming,
  measureDecode,
  measureKernels,
  measurePrefill,
  measureStreamingRead,
} from '../measure/timings.ts';
import { anyTokens } from '../../src/measure/steps.ts';
import { mayShift } from '../../src/engine/running-request.ts';
import type { Adaptation } from '../../src/engine/adapters.ts';
import type { Session } from '../../src/session/session.ts';
import { BENCH_FLAGS, kvOptions } from '../command-flags.ts';
import { listFlag, parseFlags, positional, refuse, refuseFlags, wholeFlag } from '../flags.ts';
import type { Output } from '../output.ts';
import { withModel } from '../open-model.ts';
import { PlanRecorder, rankOptions } from '../ranks.ts';

const DEFAULT_LENGTHS = [256];
const DEFAULT_STEPS = 32;
const PREFILL_REPEATS = 3;
/** Steps besides the timed ones: a warm-up, and one that is submitted ahead. */
const DECODED_AHEAD = 2;
/** Every page form. */
const FORMS: readonly KvOptions[] = [{ kv: 'dense' }, { kv: 'q8' }, { kv: 'q4' }, { kv: 'q3' }, { kv: 'k3v2' }];

/**
 * `bench decode|prefill|kernels|attention`: timings on this device; `-T` lists contexts in tokens. `--streams N`:
 * sequences per decode step; adapters take turns among them. `attention` times one layer's attention, for one token and
 * for a batch, with every form of the cache unless `--kv` names one.
 */
export async function bench(args: string[]): Promise<Output> {
  const { values, positionals } = parseFlags(args, BENCH_FLAGS, true);
  refuseFlags(values, ['kv-shadow'], 'no errors are measured here');
  const what = positional('WHAT', positionals);
  const lengths = listFlag('lengths', values.lengths, 1) ?? DEFAULT_LENGTHS;
  const steps = wholeFlag('steps', values.steps, 1) ?? DEFAULT_STEPS;
  const streams = wholeFlag('streams', values.streams, 1, MAX_SEQUENCES) ?? 1;
  const kv = kvOptions(values);
  const policy = policyOf(kv);
  const measures: Record<string, (session: Session, length: number, adaptations: Adaptation[]) => Promise<Measured[]>> =
    {
      decode: async (session, length, adaptations) => [
        await measureDecode(session, length, steps, adaptations, { policy }),
      ],
      prefill: async (session, length, [adaptation]) => [
        await measurePrefill(session, anyTokens(session, length), PREFILL_REPEATS, adaptation, policy),
      ],
      kernels: async (session, length) => [summed(length, await measureKernels(session, length, 1))],
      attention: async (session, length) => {
        const timings: Measured[] = [];
        const forms = session.plan.config.perLayerInputs === undefined ? FORMS : FORMS.slice(0, 1);
        for (const form of kv.kv ? [kv] : forms) timings.push(...(await measureAttention(session, length, form)));
        return timings;
      },
    };
  const measure = Object.hasOwn(measures, what) ? measures[what] : undefined;
  if (!measure) {
    refuse('bench', `measures one of ${Object.keys(measures).join(', ')}, not ${JSON.stringify(what.slice(0, 40))}`);
  }
  if (what !== 'decode') refuseFlags(values, ['steps', 'streams'], 'is only allowed with bench decode');
  const recorder = new PlanRecorder();
  if (what === 'kernels' || what === 'attention') refuseFlags(values, ['plan', 'save-plan'], 'no adapter takes part');
  if (streams > 1) refuseFlags(values, ['save-plan'], 'several streams have a plan each');
  const ranks = { ...(await rankOptions(values)), onPlan: recorder.add };
  const asked = wholeFlag('context-length', values['context-length'], 1);
  // Attention alone is fast at any context; the others leave room for decoded tokens.
  const longest = largest(lengths, 0);
  const context =
    what === 'attention' && asked === undefined
      ? { tokens: longest, flag: 'lengths' }
      : { tokens: asked, flag: 'context-length' };
  const decoded = { decode: steps + DECODED_AHEAD, kernels: 1 }[what] ?? 0;
  const checkRoom = (room: number): void => {
    if (longest + decoded <= room || (what === 'decode' && mayShift(room, policy))) return;
    const more = decoded > 0 ? `, and ${decoded} after them,` : '';
    refuse('--lengths', `${longest} tokens${more} exceed the context of ${room}`);
  };
  if (context.tokens !== undefined) checkRoom(context.tokens);
  return withModel(
    values,
    async (engine, uses) => {
      const adaptations: Adaptation[] = [];
      for (let stream = 0; stream < streams; stream++) {
        const own = streams === 1 ? uses : uses.slice(stream % uses.length).slice(0, 1);
        adaptations.push(await engine.adapt(own, ranks));
      }
      const streaming = what === 'decode' ? undefined : await engine.alone(measureStreamingRead); // decode measures it with each context
      const results: object[] = [];
      for (const length of lengths) {
        for (const result of await engine.alone((session) => measure(session, length, adaptations))) {
          results.push({
            ...result,
            ...(streaming !== undefined && { ratioToStreamingRead: result.gbPerSecond / streaming }),
          });
        }
      }
      await recorder.save(values['save-plan']);
      const json = { device: engine.device, results };
      return { json, text: [engine.device, ...results.map((result) => JSON.stringify(result))].join('\n') };
    },
    { context, check: ({ contextLength }) => checkRoom(contextLength) },
  );
}

interface Measured {
  context: number;
  gbPerSecond: number;
}

/** A step as the sum of its dispatches, each timed alone. */
function summed(context: number, kernels: readonly KernelTiming[]) {
  const sum = (of: (timing: KernelTiming) => number): number =>
    kernels.reduce((total, each) => total + of(each) * each.dispatches, 0);
  const msPerToken = { median: sum(({ ms }) => ms), p95: sum(({ msP95 }) => msP95) };
  return {
    context,
    msPerToken,
    dispatchesPerToken: sum(() => 1),
    gbPerSecond: sum(({ weightBytes }) => weightBytes) / msPerToken.median / 1e6,
    kernels,
  };
}
