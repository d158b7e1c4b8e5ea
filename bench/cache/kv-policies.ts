// Our cache policy against others at equal bytes: loss in perplexity of wikitext-2. Ours runs first; the others keep
// the share of old pages in f16 that takes equal bytes.
import { cachedPerplexity, costLine, costOf, formatIncrease, increaseOver } from '../../cli/evaluations/kv.ts';
import { heavyHitters, latestAttention, slidingWindow } from '../support/eviction-policies.ts';
import { DENSE, policyOf, RECENT_PAGES } from '../../src/cache/policy.ts';
import { pagesFor } from '../../src/cache/kv-cache.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 2048);
const WINDOWS = Number(process.env.CHUNKWISE_WINDOWS ?? 4);

const engine = await openInNode({ contextLength: CONTEXT });
const { batchTokens } = (await engine.session()).transformer;
const window = CONTEXT - (engine.tokenizer.addBos ? 1 : 0);
const tokens = await heldOutTokens(engine, 'wikitext', WINDOWS * window);

const dense = await cachedPerplexity(engine, tokens, CONTEXT, DENSE);
console.log(`${dense.tokens} tokens in windows of ${CONTEXT}; dense: perplexity ${dense.perplexity.toFixed(4)}`);
const ours = await cachedPerplexity(engine, tokens, CONTEXT, policyOf({ kv: 'policy' }));
const oursCosts = { name: 'ours', ...costOf(ours, dense) };
console.log(costLine(oursCosts.name, oursCosts));

/** Pages of a window that were old before its last batch; policies decide about these. */
const pages = pagesFor(CONTEXT);
const before = Math.floor((CONTEXT - 1) / batchTokens) * batchTokens;
const old = Math.max(1, Math.floor(before / PAGE_TOKENS) - RECENT_PAGES - 1);
const share = (oursCosts.pageBytes * pages - (pages - old)) / old;
console.log(`of ${pages} pages ${old} are old: others keep ${(100 * share).toFixed(1)} % of them`);

const results: object[] = [oursCosts];
for (const [name, policyOfShare] of Object.entries({
  'sliding window': slidingWindow,
  'heavy hitters': heavyHitters,
  'latest attention': latestAttention,
})) {
  const found = await cachedPerplexity(engine, tokens, CONTEXT, policyOfShare(share));
  const cost = costOf(found, dense);
  const overOurs = increaseOver(ours, found);
  console.log(`${costLine(name, cost)}; over ours + % ${formatIncrease(overOurs)}`);
  results.push({ name, ...cost, overOurs });
}
await record(`kv-policies-${CONTEXT}`, engine.device, {
  tokens: dense.tokens,
  context: CONTEXT,
  share,
  dense: { perplexity: dense.perplexity, bytes: dense.memoryPeak.kv },
  results,
});
process.exit(0);
