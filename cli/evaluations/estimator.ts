import { policyOf, type CachePolicy } from '../../src/cache/policy.ts';
import { entropyComplexity, type EstimatorName, ESTIMATORS, type Vocabulary } from '../../src/chunking/complexity.ts';
import { UNADAPTED } from '../../src/engine/adapters.ts';
import { type Divergence, divergence } from '../measure/evaluate.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { AdapterUse } from '../../src/engine/types.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { ESTIMATOR_FLAGS, kvOptions, RANK_FLAGS } from '../command-flags.ts';
import { parseFlags, readText, refuseFlags, required, wholeFlag } from '../flags.ts';
import { withModel } from '../open-model.ts';
import type { Output } from '../output.ts';
import { bootstrap, type Estimate, formatEstimate, mean, spearman as rankCorrelation } from '../statistics.ts';

const DEFAULT_WINDOW = 1024;
const DEFAULT_TOKENS = 4096;
/** Tokens per bootstrap block: neighbours have dependent complexities. */
const BLOCK = 32;

/**
 * `eval estimator`: how well each estimator's complexity predicts the adapter's effect: Spearman's correlation with
 * KL(full rank ‖ rank 0) of every token, over independent windows.
 */
export async function evaluateEstimator(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, ESTIMATOR_FLAGS);
  refuseFlags(values, [...Object.keys(RANK_FLAGS), 'kv-shadow'], 'the command always compares all ranks with none');
  required('adapter', values.adapter?.[0]);
  const policy = policyOf(kvOptions(values));
  const text = await readText(required('text', values.text));
  const context = wholeFlag('context', values.context, 2) ?? DEFAULT_WINDOW;
  const maxTokens = wholeFlag('max-tokens', values['max-tokens'], 1) ?? DEFAULT_TOKENS;
  return withModel(
    values,
    async (engine, uses) => {
      const tokens = engine.tokenizer.encode(text, { addSpecial: false }).slice(0, maxTokens);
      const found = await estimators(engine, uses, tokens, context, policy);
      const lines = Object.entries(found.spearman).map(([name, estimate]) => `${name}\t${formatEstimate(estimate)}`);
      const head = `${tokens.length} tokens, mean KL ${found.meanKl.toFixed(4)} nats, Spearman's correlation with it:`;
      return { json: { ...found, device: engine.device }, text: [head, ...lines].join('\n') };
    },
    { context: { tokens: 2 * (context + PAGE_TOKENS), flag: 'context' } }, // one sequence with the adapter, one without
  );
}

/**
 * Spearman's correlation of each estimator's complexity with KL(full rank ‖ rank 0), over windows of `context` tokens.
 */
export async function estimators(
  engine: LocalEngine,
  uses: readonly AdapterUse[],
  tokens: readonly number[],
  context: number,
  policy?: CachePolicy,
) {
  const { tokenizer } = engine;
  const vocabulary = { size: tokenizer.vocabSize, text: (token: number) => tokenizer.decode([token]) };
  const full = await engine.adapt(uses, { ranks: 'uniform' });
  const kl: number[] = [];
  const complexity: Record<string, number[]> = Object.fromEntries(NAMES.map((name) => [name, []]));
  for (let start = 0; start < tokens.length; start += context) {
    const window = tokens.slice(start, start + context);
    const found = await engine.alone((session) => divergence(session, window, full, UNADAPTED, policy));
    kl.push(...found.kl);
    for (const name of NAMES) complexity[name]?.push(...estimateOf(name, vocabulary, window, found));
  }
  const spearman: Record<string, Estimate> = Object.fromEntries(
    NAMES.map((name) => [name, correlation(complexity[name] ?? [], kl)]),
  );
  return { tokens: kl.length, context, meanKl: mean(kl), spearman };
}

/** `entropyBefore`: entropy at the previous position, which sets a token's level during decode. */
const NAMES = [
  ...(Object.keys(ESTIMATORS) as EstimatorName[]).filter((name) => name !== 'openness'),
  'entropyBefore',
] as const;

/** Complexity of every token. For position t an estimator sees the tokens, or the model's entropy, up to t. */
function estimateOf(
  name: (typeof NAMES)[number],
  vocabulary: Vocabulary,
  window: readonly number[],
  { entropy }: Divergence,
): number[] {
  if (name === 'entropyBefore') return window.map((_, i) => entropyComplexity(entropy[i - 1] ?? 0));
  const estimator = ESTIMATORS[name](vocabulary);
  return window.map((token, i) => estimator.push(token, entropy[i]));
}

function correlation(complexity: readonly number[], kl: readonly number[]): Estimate {
  const of = (values: readonly number[], indices: readonly number[]) => indices.map((i) => values[i] as number);
  return bootstrap(kl.length, (indices) => rankCorrelation(of(complexity, indices), of(kl, indices)), { block: BLOCK });
}
