import { type KvOptions, policyOf } from '../../src/cache/kv-options.ts';
import { perplexity } from '../../src/engine/evaluate.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import { MODEL_FLAGS, numberFlag, parseFlags, required } from '../flags.ts';
import { withModel } from '../open-model.ts';
import type { Output } from '../output.ts';
import { readText } from '../read-text.ts';
import { bootstrap, type Estimate, formatEstimate, mean } from '../statistics.ts';

const FLAGS = {
  ...MODEL_FLAGS,
  text: { type: 'string' },
  budget: { type: 'string' },
  context: { type: 'string' },
  'max-tokens': { type: 'string' },
} as const;

const DEFAULT_BUDGETS = '0.01,0.05,0.2';
const DEFAULT_WINDOW = 2048;
/** Tokens that are resampled together: they depend on each other. */
const BLOCK = 64;

/** `eval kv`: perplexity and bytes of a text with its cache in other forms, beside the dense cache. */
export async function evaluateKv(args: string[]): Promise<Output> {
  const { values } = parseFlags(args, FLAGS);
  const text = await readText(required('text', values.text));
  const budgets = (values.budget ?? DEFAULT_BUDGETS).split(',').map((each) => numberFlag('budget', each, 0, 1) as number);
  const context = Math.floor(numberFlag('context', values.context, 2) ?? DEFAULT_WINDOW);
  const maxTokens = Math.floor(numberFlag('max-tokens', values['max-tokens'], 2) ?? Infinity);
  return withModel(
    values,
    async (engine) => {
      const tokens = engine.tokenizer.encode(text, { addSpecial: false }).slice(0, maxTokens);
      const modes: KvOptions[] = [{ kv: 'q8' }, { kv: 'q4' }, ...budgets.map((kvErrorBudget) => ({ kv: 'policy' as const, kvErrorBudget }))];
      const found = await comparedCaches(engine, tokens, context, modes);
      return { json: { ...found, device: engine.device }, text: [`dense: perplexity ${found.dense.perplexity.toFixed(4)}`, ...found.results.map(lineOf)].join('\n') };
    },
    context,
  );
}

export interface ComparedCache extends KvOptions {
  perplexity: number;
  /** Above the dense cache's, as a fraction. */
  increase: Estimate;
  /** Of the dense cache's GPU bytes, when both had most: tables and all. */
  bytes: number;
  /** Live bytes of the pages at the end of the last window, of the dense ones'. */
  pageBytes: number;
  pages: Record<string, number>;
  /** Estimated, of the median layer and of the worst. */
  error: { median: number; most: number };
}

/** Perplexity over windows of `context` tokens and bytes of the cache, with each of `modes` and with every page in f16. */
export async function comparedCaches(engine: LocalEngine, tokens: readonly number[], context: number, modes: readonly KvOptions[]) {
  const { addBos, bosId } = engine.tokenizer;
  const windows = { context, start: 0, maxTokens: tokens.length, bosId: addBos ? bosId : undefined };
  const run = (kv: KvOptions) => engine.alone((session) => perplexity(session, tokens, { ...windows, policy: policyOf(kv), shadows: kv.kvShadow }));
  const dense = await run({});
  const results: ComparedCache[] = [];
  for (const mode of modes) {
    const { nlls, kv, memoryPeak, perplexity: value } = await run(mode);
    const lost = nlls.map((nll, i) => nll - (dense.nlls[i] ?? NaN));
    const increase = bootstrap(lost.length, (indices) => Math.expm1(mean(indices.map((i) => lost[i] as number))), { block: BLOCK });
    const errors = [...kv.layerErrors].sort((a, b) => a - b);
    const bytesOf = (report: typeof kv): number => Object.values(report.bytes).reduce((sum, each) => sum + each, 0);
    results.push({
      ...mode,
      ...{ perplexity: value, increase, pages: kv.pages },
      bytes: memoryPeak.kv / dense.memoryPeak.kv,
      pageBytes: bytesOf(kv) / bytesOf(dense.kv),
      error: { median: errors[Math.floor(errors.length / 2)] ?? 0, most: errors.at(-1) ?? 0 },
    });
  }
  return { tokens: dense.tokens, context, dense: { perplexity: dense.perplexity, bytes: dense.memoryPeak.kv }, results };
}

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

export function lineOf({ kv, kvErrorBudget, increase, bytes, pageBytes, error, pages }: ComparedCache): string {
  const name = kv === 'policy' ? `budget ${kvErrorBudget}` : kv;
  const inPercent = { value: 100 * increase.value, interval: increase.interval.map((x) => 100 * x) as Estimate['interval'] };
  return [
    `${name}: perplexity + % ${formatEstimate(inPercent, 2)}`,
    `bytes at most ${percent(bytes)}`,
    `pages at the end ${percent(pageBytes)}`,
    `estimated error ${error.median.toFixed(4)}, worst layer ${error.most.toFixed(4)}`,
    Object.entries(pages).map(([form, count]) => `${form} ${count}`).join(' '),
  ].join('; ');
}
