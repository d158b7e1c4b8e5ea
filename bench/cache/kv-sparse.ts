// Below the floor: facts at ten depths of a drama, and perplexity of four texts, with a tenth and a twentieth of the dense
// bytes. With `sparse` some layers give up old pages; `policy`, the control, drops the oldest of all layers. CHUNKWISE_CONTEXT, CHUNKWISE_DEPTHS,
// CHUNKWISE_WINDOWS (0: no perplexity).
import { comparedCaches, lineOf as lineOfCache } from '../../cli/evaluations/kv.ts';
import { lineOf, retrieval, retrievalCases, summaryOf } from '../../cli/evaluations/retrieval.ts';
import type { KvOptions } from '../../src/cache/policy.ts';
import { pageBytes, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { cacheTexts, heldOutTokens } from '../support/texts.ts';

const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 4096);
const DEPTHS = Number(process.env.CHUNKWISE_DEPTHS ?? 10);
const WINDOWS = Number(process.env.CHUNKWISE_WINDOWS ?? 2);
const SHARES = [0.1, 0.05];

const engine = await openInNode({ contextLength: CONTEXT });
const { config } = (await engine.session()).plan;
const dense = (config.numLayers * pageBytes(config) * CONTEXT) / PAGE_TOKENS;
const modes = SHARES.flatMap((share): KvOptions[] => {
  const kvMemoryBudget = Math.floor(share * dense);
  return [
    { kv: 'sparse', kvMemoryBudget },
    { kv: 'policy', kvMemoryBudget },
  ];
});
const filler = await heldOutTokens(engine, 'shakespeare', DEPTHS * CONTEXT);
const cases = await retrievalCases(engine, filler, CONTEXT, DEPTHS);
const facts: object[] = [];
for (const mode of modes) {
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
await record(`kv-sparse-${CONTEXT}`, engine.device, { facts, texts });
process.exit(0);
