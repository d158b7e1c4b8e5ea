// Decode at growing contexts beside decode at 256, with the dense cache and with the default policy, in one run; and
// whether a step takes longer all at once somewhere on the way: at a page's end, where a buffer grows, where a page's
// form changes, where splits of attention get longer. Lavapipe.
import { type CachePolicy, DENSE } from '../src/cache/policy.ts';
import { policyOf } from '../src/cache/kv-options.ts';
import { UNADAPTED } from '../src/engine/adaptation.ts';
import { measureDecode, timeSteps } from '../src/engine/measure.ts';
import { PAGE_TOKENS } from '../src/kernels/heads.ts';
import { quantile } from '../src/engine/statistics.ts';
import { openInNode } from './engine.ts';
import { record } from './results.ts';
import { estimate, format } from './statistics.ts';
import { heldOutTokens } from './texts.ts';

const CONTEXTS = (process.env.CHUNKWISE_CONTEXTS ?? '256,512,1024,1536,2048').split(',').map(Number);
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 5);
const STEPS = 16;
/** From the first context to beyond the last: there attention's splits get a second page. */
const GROWTH_STEPS = Number(process.env.CHUNKWISE_GROWTH_STEPS ?? 2048);
/** Steps whose median is compared with that of the next ones. */
const WINDOW = 64;

const POLICIES: Record<string, CachePolicy> = { dense: DENSE, policy: policyOf({ kv: 'policy' }) };
const [first = 256] = CONTEXTS;
const last = Math.max(...CONTEXTS);

const engine = await openInNode();
const session = await engine.session();
const text = await heldOutTokens(engine, 'wikitext', last);

/** Milliseconds a token, one a round, of each policy at each context. */
const times: Record<string, Record<number, number[]>> = {};
for (const name of Object.keys(POLICIES)) times[name] = Object.fromEntries(CONTEXTS.map((context) => [context, []]));
for (let round = 0; round <= ROUNDS; round++) {
  for (const context of CONTEXTS) {
    const line: string[] = [];
    for (const [name, policy] of Object.entries(POLICIES)) {
      const { msPerToken } = await measureDecode(session, context, STEPS, [UNADAPTED], { policy, text });
      if (round > 0) times[name]?.[context]?.push(msPerToken.median); // the first round compiles
      line.push(`${name} ${msPerToken.median.toFixed(1)}`);
    }
    console.log(`  context ${context}: ${line.join(', ')} ms`);
  }
}

/** The same round's at the first context. */
const ratioOf = (name: string, context: number) =>
  estimate((times[name]?.[context] ?? []).map((ms, i) => ms / (times[name]?.[first]?.[i] ?? NaN)));

const growth: Record<string, ReturnType<typeof stepsOf>> = {};
for (const [name, policy] of Object.entries(POLICIES)) {
  growth[name] = stepsOf((await timeSteps(session, first, GROWTH_STEPS, [UNADAPTED], { policy, text })).times);
}

/**
 * How much longer steps take from one window to the next at most, single ones than their window's median, and those at
 * one place of a page, of all pages the median, where it is most.
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
  // The first timed step computes the third token after the first context's.
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
    ...{ context, msPerToken: estimate(times[name]?.[context] ?? []), ratio: ratioOf(name, context) },
    toDense: estimate((times[name]?.[context] ?? []).map((ms, i) => ms / (times.dense?.[context]?.[i] ?? NaN))),
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
