// Below the floor: facts at ten depths of a drama, and perplexity of four texts, with a tenth and a twentieth of the dense
// bytes. With `sparse` single entries of old pages stay; `policy`, the control, drops the oldest of all layers. Then steps of a
// decode after as many tokens, each beside the default policy without a memory budget. CHUNKWISE_CONTEXT, CHUNKWISE_DEPTHS
// (0: no facts), CHUNKWISE_WINDOWS (0: no perplexity), CHUNKWISE_ROUNDS (0: no decode), CHUNKWISE_SHARES.
import { comparedCaches, lineOf as lineOfCache } from '../../cli/evaluations/kv.ts';
import { lineOf, retrieval, retrievalCases, summaryOf } from '../../cli/evaluations/retrieval.ts';
import { type KvOptions, policyOf } from '../../src/cache/policy.ts';
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
const modes = SHARES.flatMap((share): KvOptions[] => {
  const kvMemoryBudget = Math.floor(share * dense);
  return [
    { kv: 'sparse', kvMemoryBudget },
    { kv: 'policy', kvMemoryBudget },
  ];
});
const filler = await heldOutTokens(engine, 'shakespeare', Math.max(1, DEPTHS) * CONTEXT);
const cases = await retrievalCases(engine, filler, CONTEXT, DEPTHS);
const facts: object[] = [];
for (const mode of DEPTHS > 0 ? modes : []) {
  console.log(`${mode.kv}, ${mode.kvMemoryBudget} bytes`);
  const found = await retrieval(engine, cases, mode, { progress: (result) => console.log(`  ${lineOf(result)}`) });
  console.log(`  ${summaryOf(found)}`);
  facts.push(found);
}
const texts: Record<string, object> = {};
for (const [name, tokens] of Object.entries(WINDOWS > 0 ? await cacheTexts(engine, WINDOWS * CONTEXT) : {})) {
  const found = await comparedCaches(engine, tokens, CONTEXT, modes);
  texts[name] = found;
  console.log(`${name}: dense perplexity ${found.dense.perplexity.toFixed(4)}`);
  for (const result of found.results) console.log(`  ${lineOfCache(result)}`);
}
const decode = ROUNDS > 0 ? await decodeTimes() : [];
await record(`kv-sparse-${CONTEXT}`, engine.device, { facts, texts, decode });
process.exit(0);

/** Times of steps relative to the default policy's of the same round. */
async function decodeTimes() {
  const session = await engine.session();
  const runs: { mode: KvOptions; run: DecodeRun; times: number[] }[] = [];
  for (const mode of [{ kv: 'policy' } as const, ...modes]) {
    const run = await DecodeRun.open(session, CONTEXT, runs.length, { policy: policyOf(mode), text: filler });
    await run.time(STEPS); // compiles
    runs.push({ mode, run, times: [] });
  }
  for (let round = 0; round < ROUNDS; round++) for (const { run, times } of runs) times.push(await run.time(STEPS));
  for (const { run } of runs) run.close();
  const base = runs[0]?.times ?? [];
  return runs.map(({ mode, times }) => {
    const ratio = estimate(times.map((ms, i) => ms / (base[i] ?? NaN)));
    console.log(
      `decode, ${mode.kv}, ${mode.kvMemoryBudget ?? 'no'} bytes: ${format(ratio)} of the default policy's time`,
    );
    return { mode, ratio };
  });
}
