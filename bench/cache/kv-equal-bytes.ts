// The policy against each fixed form of the cache at equal or fewer bytes: perplexity of prose, drama, code and chats
// in the same windows. The smallest budget is used whose pages at the text's end are no larger than the form's.
// CHUNKWISE_TEXTS, CHUNKWISE_FORMS: a selection by name, recorded beside existing results; CHUNKWISE_BUDGETS,
// ascending; CHUNKWISE_CONTEXT, CHUNKWISE_WINDOWS.
import {
  type CacheCost,
  cachedPerplexity,
  costLine,
  costOf,
  formatIncrease,
  increaseOver,
} from '../../cli/evaluations/kv.ts';
import { type KvMode, policyOf } from '../../src/cache/policy.ts';
import type { Perplexity } from '../../cli/measure/evaluate.ts';
import { openInNode } from '../support/engine.ts';
import { record, recorded } from '../support/results.ts';
import { cacheTexts } from '../support/texts.ts';

const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 2048);
const WINDOWS = Number(process.env.CHUNKWISE_WINDOWS ?? 4);
const TEXTS = process.env.CHUNKWISE_TEXTS?.split(',');
/** From the form with most bytes down, as budgets ascend. */
const ALL_FORMS: readonly KvMode[] = ['q8', 'q4', 'q3', 'k3v2'];
const FORMS = (process.env.CHUNKWISE_FORMS?.split(',') ?? ALL_FORMS) as readonly KvMode[];
const BUDGETS = process.env.CHUNKWISE_BUDGETS?.split(',').map(Number) ?? [
  0.02, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.4, 2, 3, 4.5,
];

interface Result {
  kv: KvMode;
  form: CacheCost;
  budget: number;
  policy: CacheCost;
  overForm: ReturnType<typeof increaseOver>;
}

type Texts = Record<string, { tokens: number; context: number; results: Result[] }>;

const NAME = `kv-equal-bytes-${CONTEXT}`;
const engine = await openInNode({ contextLength: CONTEXT });
const all = await cacheTexts(engine, WINDOWS * CONTEXT);
const perplexityWith = (tokens: readonly number[], options: Parameters<typeof policyOf>[0]): Promise<Perplexity> =>
  cachedPerplexity(engine, tokens, CONTEXT, policyOf(options));

/** Tries the policy's budgets, starting with the form of most bytes. */
async function* policies(tokens: readonly number[], dense: Perplexity) {
  for (const budget of BUDGETS) {
    const found = await perplexityWith(tokens, { kv: 'policy', kvErrorBudget: budget });
    const cost = costOf(found, dense);
    console.log(`  ${costLine(`budget ${budget}`, cost)}`);
    yield { budget, found, cost };
  }
}

for (const [name, tokens] of Object.entries(all)) {
  if (TEXTS && !TEXTS.includes(name)) continue;
  const dense = await perplexityWith(tokens, {});
  console.log(
    `${name}: ${dense.tokens} tokens in windows of ${CONTEXT}; dense: perplexity ${dense.perplexity.toFixed(4)}`,
  );
  const tried = policies(tokens, dense);
  let policy = (await tried.next()).value;
  const results: Result[] = [];
  for (const kv of FORMS) {
    const fixed = await perplexityWith(tokens, { kv });
    const form = costOf(fixed, dense);
    console.log(`  ${costLine(kv, form)}`);
    while (policy && policy.cost.pageBytes > form.pageBytes) policy = (await tried.next()).value;
    if (!policy) break;
    const { budget, found, cost } = policy;
    const overForm = increaseOver(fixed, found);
    console.log(`  budget ${budget} over ${kv}: + % ${formatIncrease(overForm)}`);
    results.push({ kv, form, budget, policy: cost, overForm });
  }
  const { texts = {} } = (await recorded<{ texts: Texts }>(NAME))[engine.device] ?? {};
  const before = texts[name]?.results.filter(({ kv }) => !FORMS.includes(kv)) ?? [];
  const inOrder = [...before, ...results].sort((a, b) => ALL_FORMS.indexOf(a.kv) - ALL_FORMS.indexOf(b.kv));
  await record(NAME, engine.device, {
    texts: { ...texts, [name]: { tokens: dense.tokens, context: CONTEXT, results: inOrder } },
  });
}
process.exit(0);
