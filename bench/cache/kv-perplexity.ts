// What the cache's forms cost in quality and save in bytes: perplexity of wikitext-2 beside the dense cache. Arguments:
// error budgets to try beside the default. CHUNKWISE_SHADOW: true errors of layers beside the estimated ones, not bytes.
import { comparedCaches, lineOf } from '../../cli/evaluations/kv.ts';
import { DEFAULT_KV_ERROR_BUDGET, type KvOptions } from '../../src/cache/kv-options.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 2048);
const WINDOWS = Number(process.env.CHUNKWISE_WINDOWS ?? 4);
const kvShadow = process.env.CHUNKWISE_SHADOW !== undefined;
const budgets = process.argv.slice(2).map(Number);
const forms: KvOptions[] = [
  ...(kvShadow ? [] : [{ kv: 'q8' as const }, { kv: 'q4' as const }]),
  ...[DEFAULT_KV_ERROR_BUDGET, ...budgets].map((kvErrorBudget) => ({ kv: 'policy' as const, kvErrorBudget })),
];
const modes = forms.map((form) => ({ ...form, ...(kvShadow && { kvShadow }) }));
const engine = await openInNode({ contextLength: CONTEXT });
const tokens = await heldOutTokens(engine, 'wikitext', WINDOWS * CONTEXT);
const found = await comparedCaches(engine, tokens, CONTEXT, modes);
console.log(`${found.tokens} tokens in windows of ${CONTEXT}; dense: perplexity ${found.dense.perplexity.toFixed(4)}, ${(found.dense.bytes / 1e6).toFixed(1)} MB`);
for (const result of found.results) console.log(lineOf(result));
await record(`kv-${kvShadow ? 'errors' : 'perplexity'}-${CONTEXT}`, engine.device, found);
process.exit(0);
