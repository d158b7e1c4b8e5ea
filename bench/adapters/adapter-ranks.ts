// Quality loss of ranks by chunk on text that the adapters were not trained on: chunkwise against the whole adapter,
// one rank with the same mean, and the chunkwise levels in random order. Arguments: further estimators, recorded
// separately. CHUNKWISE_ADAPTERS: a folder of other adapters `wikitext` and `squad`, recorded by rank;
// CHUNKWISE_WINDOWS, CHUNKWISE_SHUFFLES: smaller counts.
import { join } from 'node:path';
import { bootstrap, type Estimate, formatEstimate, mean } from '../../cli/statistics.ts';
import type { EstimatorName } from '../../src/chunking/complexity.ts';
import { type Adaptation, UNADAPTED } from '../../src/engine/adapters.ts';
import { divergenceOf, eachLogits } from '../../cli/measure/evaluate.ts';
import { logSumExp } from '../../src/session/sampling/sampler.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { RankOptions } from '../../src/engine/types.ts';
import { DEMO_ADAPTERS, loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const WINDOW = 2048;
const WINDOWS = Number(process.env.CHUNKWISE_WINDOWS ?? 4);
/** Tokens per bootstrap block: neighbours depend on each other. */
const BLOCK = 32;
const SHUFFLES = Number(process.env.CHUNKWISE_SHUFFLES ?? 3);
const FOLDER = process.env.CHUNKWISE_ADAPTERS;
const NAMES = FOLDER === undefined ? DEMO_ADAPTERS : (['wikitext', 'squad'] as const);

interface Scored {
  /** −log p of each token but the first of its window. */
  nlls: number[];
  /** KL(whole adapter ‖ this one) of every position, in nats. */
  kl: number[];
  meanRank: number;
}

interface Window {
  tokens: readonly number[];
  /** Result with the whole adapter. */
  logits: Float32Array;
}

async function wholeLogits(engine: LocalEngine, tokens: readonly number[], whole: Adaptation): Promise<Window> {
  const logits = new Float32Array(tokens.length * engine.tokenizer.vocabSize);
  const keep = (start: number, length: number, rows: Float32Array): void =>
    logits.set(rows, (start * rows.length) / length);
  await engine.alone((session) => eachLogits(session, tokens, keep, { adaptation: whole }));
  return { tokens, logits };
}

async function scored(engine: LocalEngine, windows: readonly Window[], adaptation: Adaptation): Promise<Scored> {
  const { vocabSize } = engine.tokenizer;
  const result: Scored = { nlls: [], kl: [], meanRank: 0 };
  for (const { tokens, logits } of windows) {
    const score = (start: number, length: number, rows: Float32Array): void => {
      for (let i = 0; i < length; i++) {
        const row = rows.subarray(i * vocabSize, (i + 1) * vocabSize);
        const whole = logits.subarray((start + i) * vocabSize, (start + i + 1) * vocabSize);
        result.kl.push(divergenceOf(whole, row).kl);
        const next = tokens[start + i + 1];
        if (next !== undefined) result.nlls.push(logSumExp(row) - (row[next] ?? NaN));
      }
    };
    const { meanRank } = await engine.alone((session) => eachLogits(session, tokens, score, { adaptation }));
    result.meanRank += meanRank / windows.length;
  }
  return result;
}

/** Loss of `a` minus loss of `b`: a mean over tokens, by paired bootstrap. */
const lead = (a: readonly number[], b: readonly number[]): Estimate =>
  bootstrap(a.length, (indices) => mean(indices.map((i) => (a[i] as number) - (b[i] as number))), { block: BLOCK });

const summary = ({ nlls, kl, meanRank }: Scored) => ({ perplexity: Math.exp(mean(nlls)), kl: mean(kl), meanRank });

/** `shuffled`: mean of each token over several orders. */
async function shuffledScores(
  engine: LocalEngine,
  windows: readonly Window[],
  name: string,
  options: RankOptions,
): Promise<Scored> {
  const all: Scored[] = [];
  for (let planSeed = 1; planSeed <= SHUFFLES; planSeed++) {
    const adaptation = await engine.adapt([{ name, scale: 1 }], { ...options, ranks: 'shuffled', planSeed });
    all.push(await scored(engine, windows, adaptation));
  }
  const averaged = (of: (each: Scored) => number[]) =>
    of(all[0] as Scored).map((_, i) => mean(all.map((each) => of(each)[i] as number)));
  return {
    nlls: averaged(({ nlls }) => nlls),
    kl: averaged(({ kl }) => kl),
    meanRank: mean(all.map(({ meanRank }) => meanRank)),
  };
}

async function compare(
  engine: LocalEngine,
  windows: readonly Window[],
  name: string,
  whole: Scored,
  options: RankOptions,
) {
  const uses = [{ name, scale: 1 }];
  const chunkwise = await scored(engine, windows, await engine.adapt(uses, options));
  const equal = await scored(
    engine,
    windows,
    await engine.adapt(uses, { ...options, ranks: 'uniform', equalMeanRank: true }),
  );
  const shuffled = await shuffledScores(engine, windows, name, options);
  const rows = { chunkwise, equalMeanRank: equal, shuffled };
  for (const [label, each] of Object.entries(rows)) {
    const { perplexity, kl, meanRank } = summary(each);
    console.log(
      `  ${label}: perplexity ${perplexity.toFixed(4)}, KL ${kl.toExponential(3)}, mean rank ${meanRank.toFixed(2)}`,
    );
  }
  const klLead = { equalMeanRank: lead(chunkwise.kl, equal.kl), shuffled: lead(chunkwise.kl, shuffled.kl) };
  const nllLead = { equalMeanRank: lead(chunkwise.nlls, equal.nlls), shuffled: lead(chunkwise.nlls, shuffled.nlls) };
  console.log(
    `  chunkwise's KL above: equal mean ${formatEstimate(klLead.equalMeanRank, 6)}, shuffled ${formatEstimate(klLead.shuffled, 6)}`,
  );
  return {
    ...Object.fromEntries(Object.entries(rows).map(([label, each]) => [label, summary(each)])),
    perplexityToWhole: Math.exp(mean(chunkwise.nlls) - mean(whole.nlls)) - 1,
    ...{ klLead, nllLead },
  };
}

const estimators = process.argv.slice(2) as EstimatorName[];
const engine = await openInNode();
const results: Record<string, { rank: number; [part: string]: unknown }> = {};
for (const name of NAMES) {
  const { rank } = await loadAdapter(engine, name, FOLDER && join(FOLDER, name));
  const tokens = await heldOutTokens(engine, name, WINDOWS * WINDOW);
  const adaptation = await engine.adapt([{ name, scale: 1 }], { ranks: 'uniform' });
  const windows: Window[] = [];
  for (let i = 0; (i + 1) * WINDOW <= tokens.length; i++) {
    windows.push(await wholeLogits(engine, tokens.slice(i * WINDOW, (i + 1) * WINDOW), adaptation));
  }
  const whole = await scored(engine, windows, adaptation);
  const base = await scored(engine, windows, UNADAPTED);
  console.log(`${name}, ${windows.length} windows of ${WINDOW} tokens, rank ${rank}`);
  console.log(
    `  whole: perplexity ${summary(whole).perplexity.toFixed(4)}, base ${summary(base).perplexity.toFixed(4)}`,
  );
  const plans: Record<string, object> = {};
  for (const estimator of [undefined, ...estimators]) {
    console.log(` estimator: ${estimator ?? 'the default'}`);
    plans[estimator ?? 'default'] = await compare(engine, windows, name, whole, { ...(estimator && { estimator }) });
  }
  results[name] = { rank, tokens: windows.length * WINDOW, base: summary(base), whole: summary(whole), plans };
  engine.unloadAdapter(name);
}
const highest = Math.max(...Object.values(results).map(({ rank }) => rank));
const parts = [
  'adapter-ranks',
  ...(FOLDER === undefined ? [] : [highest]),
  ...(estimators.length > 0 ? ['estimators'] : []),
];
await record(parts.join('-'), engine.device, results);
process.exit(0);
