import { policyOf } from '../../../src/cache/policy.ts';
import type { MemoryReport } from '../../../src/gpu/buffers.ts';
import { timePrefill } from '../../../cli/measure/timings.ts';
import { elementsOf, goOn, pageBytes } from '../answers.ts';
import { estimate, type Estimate } from '../statistics.ts';
import { type Task, TASKS } from '../tasks.ts';
import { BASELINE, type ModeName, type OpenMode } from './modes.ts';

export interface SpeedSettings {
  /** Tokens in the cache before the first timed one. */
  contexts: readonly number[];
  /** Tokens of a timed answer. */
  steps: number;
  rounds: number;
  /** Tokens of the timed prompt; 0: none. */
  prefillTokens: number;
}

/** Milliseconds per token, and the ratio to the baseline of the same round. */
export interface Timed {
  msPerToken: Estimate;
  ratio: Estimate;
}

export interface AtContext extends Timed {
  /** Above one if drafts were accepted. */
  tokensPerStep: number;
  dispatchesPerToken: number;
  /** Memory at an answer's end. */
  memory: MemoryReport;
  bitsPerElement: number;
  /** Mean rank over the prompt and the first answer, counted by the GPU; the adapter's rank for the unfused form. */
  meanRank: number;
}

export interface Speed {
  contexts: Record<string, AtContext>;
  prefill?: Timed;
}

/** KV cache options of the mode. */
export const PAPER_TASKS = ['edits', 'json', 'summary', 'free'] as const satisfies readonly (keyof typeof TASKS)[];

/** One value per round and mode. */
type Rounds = Record<string, number[]>;

/** Decode after each context, and prefill, of each mode in turn; every other round runs backwards. */
export async function measureSpeed(
  modes: readonly OpenMode[],
  text: readonly number[],
  settings: SpeedSettings,
): Promise<Record<string, Speed>> {
  const speeds = Object.fromEntries(modes.map(({ name }): [ModeName, Speed] => [name, { contexts: {} }]));
  for (const context of settings.contexts) {
    const found = await measureDecoding(modes, text.slice(0, context), settings);
    for (const [name, each] of Object.entries(found)) speeds[name as ModeName]!.contexts[context] = each;
  }
  if (settings.prefillTokens === 0) return speeds;
  const prefill = await measurePrompts(modes, text.slice(0, settings.prefillTokens), settings.rounds);
  for (const [name, each] of Object.entries(prefill)) speeds[name as ModeName]!.prefill = each;
  return speeds;
}

export interface TaskSettings {
  /** Tokens of a text and the task after it. */
  context: number;
  /** Most tokens of a timed answer. */
  steps: number;
  rounds: number;
}

export type AtTask = Timed & Pick<AtContext, 'tokensPerStep'>;

/** Timed answers to tasks at the end of a long text, by task and mode. */
export async function measureTasks(
  modes: readonly OpenMode[],
  text: readonly number[],
  { context, steps, rounds }: TaskSettings,
) {
  const tasks: Record<string, Record<string, AtTask>> = {};
  for (const name of PAPER_TASKS) {
    const { prompt, options }: Task = TASKS[name];
    const found: Record<string, number> = {};
    const times = await interleaved(modes, rounds, async ({ name: mode, engine, request }) => {
      const { tokenizer } = engine;
      const before = text.slice(0, context - tokenizer.encode(`\n\n${prompt}`).length);
      const { report } = await goOn(engine, `${tokenizer.decode(before)}\n\n${prompt}`, steps, {
        ...request,
        ...options,
      });
      found[mode] = report.tokensPerStep;
      return 1000 / report.tokensPerSecond;
    });
    console.log(`${name}: ${lineOf(times)} ms a token`);
    tasks[name] = Object.fromEntries(
      modes.map((mode) => [mode.name, { ...timed(times, mode.name), tokensPerStep: found[mode.name] ?? NaN }]),
    );
  }
  return tasks;
}

/** The first round computes the prompt and compiles, untimed; later rounds reuse the cached prefix. */
async function measureDecoding(modes: readonly OpenMode[], text: readonly number[], { rounds, steps }: SpeedSettings) {
  const found: Record<string, Omit<AtContext, keyof Timed>> = {};
  const times = await interleaved(modes, rounds, async ({ name, engine, rank, request }, round) => {
    const { tokens, report, memory } = await goOn(engine, engine.tokenizer.decode(text), steps, request);
    const { tokensPerStep, dispatchesPerToken, kv, meanRank = rank } = report;
    const bitsPerElement = (8 * pageBytes(kv)) / (await elementsOf(engine, tokens));
    if (round === 0) found[name] = { tokensPerStep, dispatchesPerToken, memory, bitsPerElement, meanRank };
    else Object.assign(found[name]!, { tokensPerStep });
    return 1000 / report.tokensPerSecond;
  });
  console.log(`${text.length} tokens: ${lineOf(times)} ms a token`);
  return Object.fromEntries(Object.entries(found).map(([name, each]) => [name, { ...timed(times, name), ...each }]));
}

async function measurePrompts(
  modes: readonly OpenMode[],
  text: readonly number[],
  rounds: number,
): Promise<Record<string, Timed>> {
  const times = await interleaved(modes, rounds, async ({ engine, adapters, how }) => {
    const adaptation = await engine.adapt(adapters, how);
    return engine.alone((session) => timePrefill(session, text, adaptation, policyOf(how)));
  });
  console.log(`a prompt of ${text.length} tokens: ${lineOf(times)} ms a token`);
  return Object.fromEntries(modes.map(({ name }) => [name, timed(times, name)]));
}

/** Calls `time` for each mode in each round; the first round does not count. */
async function interleaved(
  modes: readonly OpenMode[],
  rounds: number,
  time: (mode: OpenMode, round: number) => Promise<number>,
): Promise<Rounds> {
  const times: Rounds = Object.fromEntries(modes.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const mode of round % 2 === 0 ? modes : modes.toReversed()) {
      const ms = await time(mode, round);
      if (round > 0) times[mode.name]!.push(ms);
    }
    console.log(`  round ${round} of ${rounds}`);
  }
  return times;
}

function timed(times: Rounds, name: string): Timed {
  const ms = times[name]!;
  return { msPerToken: estimate(ms), ratio: estimate(ms.map((each, i) => each / (times[BASELINE]?.[i] ?? NaN))) };
}

const lineOf = (times: Rounds): string =>
  Object.entries(times)
    .map(([name, ms]) => `${name} ${estimate(ms).median.toFixed(2)}`)
    .join(', ');
