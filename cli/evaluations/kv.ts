import { type KvOptions, MOST_KV_ERROR_BUDGET, policyOf, type CachePolicy } from '../../src/cache/policy.ts';
import type { KvReport } from '../../src/cache/kv-cache.ts';
import { quantile } from '../../src/util/numbers.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { type Perplexity, type PerplexityWindow, perplexity } from '../measure/evaluate.ts';
import type { Adaptation } from '../../src/engine/adapters.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { EVAL_KV_FLAGS, kvOptions } from '../command-flags.ts';
import { numberFlag, parseFlags, readText, refuseFlags, required, wholeFlag } from '../flags.ts';
import { withModel } from '../open-model.ts';
import type { Output } from '../output.ts';
import { PlanRecorder, rankOptions } from '../ranks.ts';
import { bootstrap, type Estimate, formatEstimate, mean } from '../statistics.ts';

const DEFAULT_BUDGETS = '0.25,1,2';
const DEFAULT_WINDOW = 2048;
/** Tokens per bootstrap block: neighbours depend on each other. */
const BLOCK = 64;

/**
 * `eval kv`: perplexity and bytes of a text with other forms of the cache, or the one in `--kv`, compared with the
 * dense cache. With `--shadow` also the true errors of its layers, which raises the bytes.
 */
export async function evaluateKv(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, EVAL_KV_FLAGS);
  const text = await readText(required('text', values.text));
  const { kv, kvShadow = values.shadow, ...budget } = kvOptions(values, 'policy');
  if (kv !== undefined && kv !== 'policy') refuseFlags(values, ['budget'], 'is only allowed with --kv policy');
  if (values.budget !== undefined) refuseFlags(values, ['kv-error-budget'], 'cannot be combined with --budget');
  const budgets = (values.budget ?? values['kv-error-budget'] ?? DEFAULT_BUDGETS)
    .split(',')
    .map((each) => numberFlag('budget', each, 0, MOST_KV_ERROR_BUDGET) as number);
  const forms: readonly Exclude<KvOptions['kv'], undefined>[] =
    kv === undefined || kv === 'dense' ? ['q8', 'q4', 'policy'] : [kv];
  const modes = forms.flatMap((form): KvOptions[] => {
    const shadow = kvShadow && { kvShadow };
    return form === 'policy'
      ? budgets.map((kvErrorBudget) => ({ kv: form, ...budget, kvErrorBudget, ...shadow }))
      : [{ kv: form, ...budget, ...shadow }];
  });
  const recorder = new PlanRecorder();
  const ranks = { ...(await rankOptions(values)), onPlan: recorder.add };
  const context = wholeFlag('context', values.context, 2) ?? DEFAULT_WINDOW;
  const maxTokens = wholeFlag('max-tokens', values['max-tokens'], 2) ?? Infinity;
  return withModel(
    values,
    async (engine, uses) => {
      const tokens = engine.tokenizer.encode(text, { addSpecial: false }).slice(0, maxTokens);
      const found = await comparedCaches(engine, tokens, context, modes, await engine.adapt(uses, ranks));
      await recorder.save(values['save-plan']);
      return {
        json: { ...found, device: engine.device },
        text: [`dense: perplexity ${found.dense.perplexity.toFixed(4)}`, ...found.results.map(lineOf)].join('\n'),
      };
    },
    { context: { tokens: context, flag: 'context' } },
  );
}

/** Loss of quality and saved bytes, compared with the dense cache. */
export interface CacheCost {
  perplexity: number;
  /** Rise above the dense cache, as a fraction. */
  increase: Estimate;
  /** Peak GPU bytes with all tables, as a share of the dense cache's peak. */
  bytes: number;
  /** Live bytes of pages at the end of the last window, as a share of the dense cache's. */
  pageBytes: number;
  pages: Record<string, number>;
  /** Estimated error of the median layer and of the worst. */
  error: OverLayers;
  /** True error of the same; with `kvShadow`. */
  shadowError?: OverLayers;
}

interface OverLayers {
  median: number;
  most: number;
}

export type ComparedCache = KvOptions & CacheCost;

/** A cache to compare; `policy`: default: that of the options. */
export type CacheMode = KvOptions & { policy?: CachePolicy };

/** Perplexity and cache bytes for each of `modes` and for f16 pages, over windows of `context` tokens. */
export async function comparedCaches(
  engine: LocalEngine,
  tokens: readonly number[],
  context: number,
  modes: readonly CacheMode[],
  adaptation?: Adaptation,
) {
  const dense = await cachedPerplexity(engine, tokens, context, policyOf(), { adaptation });
  const results: ComparedCache[] = [];
  for (const { policy, ...mode } of modes) {
    const found = await cachedPerplexity(engine, tokens, context, policy ?? policyOf(mode), {
      shadows: mode.kvShadow,
      adaptation,
    });
    results.push({ ...mode, ...costOf(found, dense) });
  }
  return {
    tokens: dense.tokens,
    context,
    dense: { perplexity: dense.perplexity, bytes: dense.memoryPeak.kv },
    results,
  };
}

/**
 * Runs `tokens` in windows of `context` with the pages that `policy` chooses. It goes page by page, as decode does: in
 * prefill batches tokens would read up to sixteen pages in f16.
 */
export function cachedPerplexity(
  engine: LocalEngine,
  tokens: readonly number[],
  context: number,
  policy: CachePolicy,
  how: Pick<PerplexityWindow, 'adaptation' | 'shadows'> = {},
): Promise<Perplexity> {
  const { addBos, bosId } = engine.tokenizer;
  const windows = {
    context,
    start: 0,
    maxTokens: tokens.length,
    bosId: addBos ? bosId : undefined,
    piece: PAGE_TOKENS,
  };
  return engine.alone((session) => perplexity(session, tokens, { ...windows, ...how, policy }));
}

export function costOf(found: Perplexity, dense: Perplexity): CacheCost {
  const { layerErrors, shadowErrors } = found.kv;
  return {
    ...{ perplexity: found.perplexity, increase: increaseOver(dense, found), pages: found.kv.pages },
    bytes: found.memoryPeak.kv / dense.memoryPeak.kv,
    pageBytes: bytesOf(found.kv) / bytesOf(dense.kv),
    error: overLayers(layerErrors),
    ...(shadowErrors && { shadowError: overLayers(shadowErrors) }),
  };
}

const overLayers = (errors: readonly number[]): OverLayers => ({
  median: quantile(errors, 0.5),
  most: quantile(errors, 1),
});

/** Rise of perplexity on the same tokens, as a fraction. */
export function increaseOver(base: Perplexity, found: Perplexity): Estimate {
  const lost = found.nlls.map((nll, i) => nll - (base.nlls[i] ?? NaN));
  return bootstrap(lost.length, (indices) => Math.expm1(mean(indices.map((i) => lost[i] as number))), { block: BLOCK });
}

const bytesOf = ({ bytes }: KvReport): number => Object.values(bytes).reduce((sum, each) => sum + each, 0);

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

export const formatIncrease = ({ value, interval: [low, high] }: Estimate): string =>
  formatEstimate({ value: 100 * value, interval: [100 * low, 100 * high] }, 2);

export const lineOf = (result: ComparedCache): string =>
  costLine(result.kv === 'policy' ? `budget ${result.kvErrorBudget}` : (result.kv ?? 'dense'), result);

export function costLine(name: string, { increase, bytes, pageBytes, error, shadowError, pages }: CacheCost): string {
  return [
    `${name}: perplexity + % ${formatIncrease(increase)}`,
    `bytes at most ${percent(bytes)}`,
    `pages at the end ${percent(pageBytes)}`,
    `estimated error ${error.median.toFixed(4)}, worst layer ${error.most.toFixed(4)}`,
    ...(shadowError ? [`true error ${shadowError.median.toFixed(4)}, worst layer ${shadowError.most.toFixed(4)}`] : []),
    Object.entries(pages)
      .map(([form, count]) => `${form} ${count}`)
      .join(' '),
  ].join('; ');
}
