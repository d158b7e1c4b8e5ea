// Quality and bytes of the cache's forms: perplexity against the dense cache, for prose, drama, code and chats.
// Arguments: further error budgets. CHUNKWISE_TEXTS, CHUNKWISE_FORMS: a selection of texts and of forms besides the
// policy, by name. CHUNKWISE_SHADOW: true errors of layers besides the estimates, without bytes.
import { comparedCaches, lineOf } from '../../cli/evaluations/kv.ts';
import { DEFAULT_KV_ERROR_BUDGET, type KvMode, type KvOptions } from '../../src/cache/policy.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { cacheTexts } from '../support/texts.ts';

const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 2048);
const WINDOWS = Number(process.env.CHUNKWISE_WINDOWS ?? 4);
const TEXTS = process.env.CHUNKWISE_TEXTS?.split(',');
const FORMS = (process.env.CHUNKWISE_FORMS ?? 'q8,q4,q3,k3v2').split(',').filter((name) => name !== '') as KvMode[];
const kvShadow = process.env.CHUNKWISE_SHADOW !== undefined;
const budgets = process.argv.slice(2).map(Number);
const forms: KvOptions[] = [
  ...(kvShadow ? [] : FORMS).map((kv) => ({ kv })),
  ...[DEFAULT_KV_ERROR_BUDGET, ...budgets].map((kvErrorBudget) => ({ kv: 'policy' as const, kvErrorBudget })),
];
const modes = forms.map((form) => ({ ...form, ...(kvShadow && { kvShadow }) }));
const engine = await openInNode({ contextLength: CONTEXT });
const texts = await cacheTexts(engine, WINDOWS * CONTEXT);
const results: Record<string, object> = {};
for (const [name, tokens] of Object.entries(texts)) {
  if (TEXTS && !TEXTS.includes(name)) continue;
  const found = await comparedCaches(engine, tokens, CONTEXT, modes);
  results[name] = found;
  console.log(
    `${name}: ${found.tokens} tokens in windows of ${CONTEXT}; dense: perplexity ${found.dense.perplexity.toFixed(4)}, ${(found.dense.bytes / 1e6).toFixed(1)} MB`,
  );
  for (const result of found.results) console.log(`  ${lineOf(result)}`);
}
await record(`kv-${kvShadow ? 'errors' : 'perplexity'}-${CONTEXT}`, engine.device, { texts: results });
process.exit(0);
