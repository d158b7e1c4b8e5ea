// Below the floor: facts at ten depths of a drama, and perplexity of four texts, with a tenth and a twentieth of the dense
// bytes. With `policy` single entries of old pages stay; the control drops the oldest pages. Then steps of a decode after as
// many tokens, each beside the default policy without a memory budget. CHUNKWISE_CONTEXT, CHUNKWISE_DEPTHS
// (0: no facts), CHUNKWISE_WINDOWS (0: no perplexity), CHUNKWISE_ROUNDS (0: no decode), CHUNKWISE_SHARES.
import { type CacheMode, comparedCaches, lineOf as lineOfCache } from '../../cli/evaluations/kv.ts';
import { lineOf, retrieval, retrievalCases, summaryOf } from '../../cli/evaluations/retrieval.ts';
import { policyOf, withMemoryBudget } from '../../src/cache/policy.ts';
import { pageBytes, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { DecodeRun } from '../support/decode-run.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { estimate, format } from '../support/statistics.ts';
import { cacheTexts, heldOutTokens } from '../support/texts.ts';

const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 4096);
const DEPTHS = Number(process.env.CHUNKWISE_DEPTHS ?? 10);
const WINDOWS = Number(process.env.CHUNKWISE_WINDOWS ?? 2);
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 40);
const SHARES = (process.env.CHUNKWISE_SHARES ?? '0.1,0.05').split(',').map(Number);
/** Steps per cache and round: few, so that the machine's state is equal for all. */
const STEPS = 4;

// Room for the decodes of all caches at once.
const engine = await openInNode({ contextLength: ROUNDS > 0 ? 2 * CONTEXT : CONTEXT });
const { config } = (await engine.session()).plan;
const dense = (config.numLayers * pageBytes(config) * CONTEXT) / PAGE_TOKENS;
const modes = SHARES.flatMap((share): Required<Pick<CacheMode, 'kv' | 'kvMemoryBudget' | 'policy'>>[] => {
  const budget = { kv: 'policy', kvMemoryBudget: Math.floor(share * dense) } as const;
  return [
    { ...budget, policy: policyOf(budget) },
    { ...budget, policy: withMemoryBudget(policyOf({ kv: 'policy' }), budget.kvMemoryBudget, true) },
  ];
});
const nameOf = ({ policy, kvMemoryBudget }: CacheMode): string =>
  `${policy?.measures ? 'entries evicted' : 'oldest pages dropped'}, ${kvMemoryBudget} bytes`;
const filler = await heldOutTokens(engine, 'shakespeare', Math.max(1, DEPTHS) * CONTEXT);
const cases = await retrievalCases(engine, filler, CONTEXT, DEPTHS);
const facts: object[] = [];
for (const { policy, ...mode } of DEPTHS > 0 ? modes : []) {
  console.log(nameOf({ policy, ...mode }));
  const found = await retrieval(engine, cases, mode, {
    policy,
    progress: (result) => console.log(`  ${lineOf(result)}`),
  });
  console.log(`  ${summaryOf(found)}`);
  facts.push({ name: nameOf({ policy, ...mode }), ...found });
}
const texts: Record<string, object> = {};
for (const [name, tokens] of Object.entries(WINDOWS > 0 ? await cacheTexts(engine, WINDOWS * CONTEXT) : {})) {
  const found = await comparedCaches(engine, tokens, CONTEXT, modes);
  texts[name] = found;
  console.log(`${name}: dense perplexity ${found.dense.perplexity.toFixed(4)}`);
  found.results.forEach((result, i) => console.log(`  ${nameOf(modes[i]!)}: ${lineOfCache(result)}`));
}
const decode = ROUNDS > 0 ? await decodeTimes() : [];
await record(`kv-sparse-${CONTEXT}`, engine.device, { facts, texts, decode });
process.exit(0);

/** Times of steps relative to the default policy's of the same round. */
async function decodeTimes() {
  const session = await engine.session();
  const runs: { name: string; run: DecodeRun; times: number[] }[] = [];
  for (const mode of [{ kv: 'policy' } as const, ...modes] as CacheMode[]) {
    const { policy = policyOf(mode) } = mode;
    const run = await DecodeRun.open(session, CONTEXT, runs.length, { policy, text: filler });
    await run.time(STEPS); // compiles
    runs.push({ name: mode.kvMemoryBudget ? nameOf(mode) : 'default policy', run, times: [] });
  }
  for (let round = 0; round < ROUNDS; round++) for (const { run, times } of runs) times.push(await run.time(STEPS));
  for (const { run } of runs) run.close();
  const base = runs[0]?.times ?? [];
  return runs.map(({ name, times }) => {
    const ratio = estimate(times.map((ms, i) => ms / (base[i] ?? NaN)));
    console.log(`decode, ${name}: ${format(ratio)} of the default policy's time`);
    return { name, ratio };
  });
}
