// Decode at 2,048 tokens against decode at 256, with the dense cache and the default policy, in turn; and sudden slow
// steps: at a page's end, when a buffer grows, when a page changes its form, when attention splits get longer.
// Lavapipe.
import { type CachePolicy, DENSE, policyOf } from '../src/cache/policy.ts';
import { UNADAPTED } from '../src/engine/adapters.ts';
import { DecodeRun } from './support/decode-run.ts';
import { timeSteps } from '../cli/measure/timings.ts';
import { PAGE_TOKENS } from '../src/kernels/heads.ts';
import { quantile } from '../src/util/numbers.ts';
import { openInNode } from './support/engine.ts';
import { record } from './support/results.ts';
import { estimate, format } from './support/statistics.ts';
import { heldOutTokens } from './support/texts.ts';

const CONTEXTS = [256, 2048] as const;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 40);
/** Steps per text and round: few, so that the machine's state is equal for all. */
const STEPS = 4;
/** From the first context to beyond the last, where attention's splits get a second page. */
const GROWTH_STEPS = Number(process.env.CHUNKWISE_GROWTH_STEPS ?? 2048);
/** Steps per window; medians of neighbouring windows are compared. */
const WINDOW = 64;

const POLICIES: Record<string, CachePolicy> = { dense: DENSE, policy: policyOf({ kv: 'policy' }) };
const [first, last] = CONTEXTS;

const engine = await openInNode({ contextLength: 8192 }); // room for all texts at once
const session = await engine.session();
const text = await heldOutTokens(engine, 'wikitext', last);

const runs: { name: string; context: number; run: DecodeRun; times: number[] }[] = [];
for (const [name, policy] of Object.entries(POLICIES)) {
  for (const context of CONTEXTS) {
    const run = await DecodeRun.open(session, context, runs.length, { policy, text });
    await run.time(STEPS); // compiles
    runs.push({ name, context, run, times: [] });
  }
}
for (let round = 0; round < ROUNDS; round++) for (const { run, times } of runs) times.push(await run.time(STEPS));
for (const { run } of runs) run.close();

const timesOf = (name: string, context: number): number[] =>
  runs.find((each) => each.name === name && each.context === context)?.times ?? [];

/** Ratios of times within a round. */
const ratioTo = (times: readonly number[], base: readonly number[]) =>
  estimate(times.map((ms, i) => ms / (base[i] ?? NaN)));

const growth: Record<string, ReturnType<typeof stepsOf>> = {};
for (const [name, policy] of Object.entries(POLICIES)) {
  growth[name] = stepsOf((await timeSteps(session, first, GROWTH_STEPS, [UNADAPTED], { policy, text })).times);
}

/**
 * Largest slowdown: from one window to the next, of a single step against its window's median, and of one position in a
 * page (median over all pages).
 */
function stepsOf(ms: readonly number[]) {
  const windows: number[] = [];
  const overMedian: number[] = [];
  const inPage: number[][] = Array.from({ length: PAGE_TOKENS }, () => []);
  for (let start = 0; start + WINDOW <= ms.length; start += WINDOW) {
    const window = ms.slice(start, start + WINDOW);
    const median = quantile(window, 0.5);
    windows.push(median);
    overMedian.push(...window.map((each) => each / median));
  }
  const jumps = windows.slice(1).map((median, i) => median / (windows[i] ?? NaN));
  const largest = jumps.indexOf(Math.max(...jumps));
  // The first timed step computes the third token after the first context.
  overMedian.forEach((each, i) => inPage[(first + 2 + i) % PAGE_TOKENS]?.push(each));
  const byPlace = inPage.map((each) => quantile(each, 0.5));
  const place = byPlace.indexOf(Math.max(...byPlace));
  return {
    windows,
    largestJump: { ratio: jumps[largest] ?? 1, context: first + (largest + 1) * WINDOW },
    inPage: { ratio: byPlace[place] ?? 1, place },
    singleStep: { p95: quantile(overMedian, 0.95), most: Math.max(...overMedian) },
  };
}

console.log(engine.device);
const results: Record<string, object> = {};
for (const name of Object.keys(POLICIES)) {
  const contexts = CONTEXTS.map((context) => ({
    ...{
      context,
      msPerToken: estimate(timesOf(name, context)),
      ratio: ratioTo(timesOf(name, context), timesOf(name, first)),
    },
    toDense: ratioTo(timesOf(name, context), timesOf('dense', context)),
  }));
  for (const { context, msPerToken, ratio } of contexts) {
    console.log(`  ${name} at ${context}: ${format(msPerToken)} ms a token, ${format(ratio)} times as at ${first}`);
  }
  const { largestJump, inPage, singleStep } = growth[name] ?? stepsOf([]);
  console.log(
    `  ${name}: from ${WINDOW} steps to the next at most ${largestJump.ratio.toFixed(2)} times as long (at ${largestJump.context}); ` +
      `at place ${inPage.place} of a page ${inPage.ratio.toFixed(2)} times its neighbours' median; ` +
      `a single step ${singleStep.p95.toFixed(2)} times it (p95), at most ${singleStep.most.toFixed(2)}`,
  );
  results[name] = { contexts, growth: growth[name] };
}
await record('decode-context', engine.device, { rounds: ROUNDS, steps: STEPS, window: WINDOW, ...results });
process.exit(0);
