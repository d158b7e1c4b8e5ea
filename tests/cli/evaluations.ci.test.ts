import { describe, expect, it } from 'vitest';
import { bench } from '../../cli/commands/bench.ts';
import { COMMANDS } from '../../cli/commands.ts';
import type { ComparedCache } from '../../cli/evaluations/kv.ts';
import type { Output } from '../../cli/output.ts';
import type { Retrieval } from '../../cli/evaluations/retrieval.ts';
import { normalizeAnswer, score } from '../../cli/evaluations/squad.ts';
import { bootstrap, type Estimate, mean, spearman } from '../../cli/statistics.ts';
import type { Timing, AttentionTiming } from '../../cli/measure/timings.ts';
import { pageUnits, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';
import { VARIED_TEXT } from '../support/plan-cases.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';
import { tinyFiles } from './tiny-files.ts';

const evaluate = async ([name, ...args]: string[]): Promise<Output> => (await COMMANDS[`eval ${name}`]!.load())(args);

describe("Spearman's correlation", () => {
  it('is 1 for values that rise together, however unevenly, and −1 for opposite ones', () => {
    const x = [1, 2, 3, 4, 10];
    expect(
      spearman(
        x,
        x.map((value) => value ** 3),
      ),
    ).toBeCloseTo(1, 12);
    expect(
      spearman(
        x,
        x.map((value) => -Math.exp(value)),
      ),
    ).toBeCloseTo(-1, 12);
    expect(spearman(x, [3, 3, 3, 3, 3])).toBe(0);
  });

  it('gives ties their mean rank', () => {
    // Ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: 4.5 / sqrt(4.5 · 5).
    expect(spearman([1, 5, 5, 9], [0, 7, 4, 8])).toBeCloseTo(4.5 / Math.sqrt(22.5), 12);
  });
});

describe('the bootstrap', () => {
  const random = new Random(3);
  const values = Array.from(random.normals(400, 2, 5));
  const meanOf = (indices: readonly number[]) => mean(indices.map((i) => values[i] as number));

  it('finds the spread of a mean, the same each time', () => {
    const { value, interval } = bootstrap(values.length, meanOf);
    expect(value).toBeCloseTo(mean(values), 12);
    // ±1.96 · 2 / √400.
    expect(interval[1] - interval[0]).toBeGreaterThan(0.75 * 0.392);
    expect(interval[1] - interval[0]).toBeLessThan(1.25 * 0.392);
    expect(bootstrap(values.length, meanOf)).toEqual({ value, interval });
  });

  it('in blocks does not count equal neighbours twice', () => {
    const twice = Array.from({ length: 800 }, (_, i) => values[i >> 3] as number);
    const width = (block: number): number => {
      const { interval } = bootstrap(800, (indices) => mean(indices.map((i) => twice[i] as number)), { block });
      return interval[1] - interval[0];
    };
    expect(width(40)).toBeGreaterThan(1.8 * width(1));
  });
});

describe("SQuAD's scores", () => {
  it('normalize like SQuAD’s own evaluation', () => {
    expect(normalizeAnswer('  The "Broncos", a  team. ')).toBe('broncos team');
    expect(normalizeAnswer('U.S. & an apple-pie')).toBe('us applepie');
    expect(normalizeAnswer('Theatre')).toBe('theatre');
  });

  it('take the gold answer that fits best', () => {
    expect(score('the Denver Broncos.', ['Broncos', 'Denver Broncos'])).toEqual({ exactMatch: 1, f1: 1 });
    // Two of three words are right, and both of the gold's are there.
    expect(score('in Santa Clara', ['Santa Clara', 'California']).f1).toBeCloseTo(0.8, 12);
    expect(score('Paris', ['Rome'])).toEqual({ exactMatch: 0, f1: 0 });
    expect(score('red red', ['red']).f1).toBeCloseTo(2 / 3, 12);
  });
});

it('eval estimator reports every estimator with its interval', async () => {
  const { at, flags } = await tinyFiles({ 'text.txt': VARIED_TEXT });
  const { json, text } = await evaluate(['estimator', ...flags, '--text', at('text.txt'), '--context', '200']);
  const {
    spearman: found,
    tokens,
    meanKl,
  } = json as { spearman: Record<string, Estimate>; tokens: number; meanKl: number };
  expect(Object.keys(found)).toEqual([
    'surprisal',
    'ngramEntropy',
    'entropy',
    'length',
    'position',
    'unigram',
    'entropyBefore',
  ]);
  for (const { value, interval } of Object.values(found)) {
    expect(interval[0]).toBeLessThan(value);
    expect(interval[1]).toBeGreaterThan(value);
  }
  expect(tokens).toBeGreaterThan(200);
  expect(meanKl).toBeGreaterThan(0);
  expect(text).toContain('surprisal');
});

it('eval kv compares perplexity, bytes and error of each form and budget with the dense cache', async () => {
  const { at, flags } = await tinyFiles({ 'text.txt': VARIED_TEXT.repeat(2) });
  const args = ['kv', ...flags, '--text', at('text.txt'), '--context', '320', '--max-tokens', '300'];
  const { json } = await evaluate([...args, '--budget', '0,1.5']);
  const { results, dense } = json as { results: ComparedCache[]; dense: { perplexity: number } };
  expect(results.map(({ kv, kvErrorBudget }) => [kv, kvErrorBudget])).toEqual([
    ['q8', undefined],
    ['q4', undefined],
    ['policy', 0],
    ['policy', 1.5],
  ]);
  const [q8, q4, nothing, policy] = results as [ComparedCache, ComparedCache, ComparedCache, ComparedCache];
  expect(nothing).toMatchObject({ perplexity: dense.perplexity, pageBytes: 1, error: { median: 0, most: 0 } });
  expect(q4.pageBytes).toBeLessThan(q8.pageBytes);
  expect(q8.pageBytes).toBeLessThan(1);
  expect(policy.pageBytes).toBeLessThan(1);
  expect(policy.error.most).toBeGreaterThan(0);
  await expectError(() => evaluate([...args, '--budget', '17']), 'bad_request', { field: '--budget' });
  // The base alone, in one form: all of it differs from the adapter's result.
  const base = (await evaluate(['kv', ...flags.slice(0, 2), ...args.slice(6), '--kv', 'k3v2'])).json as {
    results: ComparedCache[];
    dense: { perplexity: number };
  };
  expect(base.results.map(({ kv }) => kv)).toEqual(['k3v2']);
  expect(base.dense.perplexity).not.toBeCloseTo(dense.perplexity, 3);
});

it('eval retrieval asks for a fact at every depth, in the mode asked for and with the dense cache', async () => {
  const { at, flags } = await tinyFiles({ 'text.txt': VARIED_TEXT.repeat(2) });
  const args = ['retrieval', ...flags, '--text', at('text.txt')];
  const { json, text } = await evaluate([...args, '--context', '480', '--depths', '3', '--kv', 'q4']);
  const { mode, depths, cases, difference, found } = json as Retrieval;
  expect({ mode, depths }).toEqual({ mode: { kv: 'q4' }, depths: 3 });
  for (const [i, each] of cases.entries()) {
    expect(each.answer).toMatch(/^\d{5}$/);
    expect(Math.abs(each.depth - (i + 0.5) / 3)).toBeLessThan(0.2);
    expect(each.mode.logProb).not.toBe(each.dense.logProb);
    expect(each.mode.logProb).toBeCloseTo(each.dense.logProb, 0);
    expect(each.pageBytes).toBeLessThan(1);
  }
  expect(found.dense).toBe(cases.filter(({ dense }) => dense.found).length);
  expect(difference.value).toBeCloseTo(mean(cases.map((each) => each.mode.logProb - each.dense.logProb)), 12);
  expect(text).toContain('of 3');

  const nothing = (await evaluate([...args, '--context', '320', '--depths', '1', '--kv-error-budget', '0']))
    .json as Retrieval;
  expect(nothing).toMatchObject({
    mode: { kv: 'policy', kvErrorBudget: 0 },
    difference: { value: 0, interval: [0, 0] },
  });
  await expectError(() => evaluate([...args, '--context', '60']), 'bad_request', { field: '--context' });
  await expectError(() => evaluate([...args, '--context', '1000']), 'bad_request', { field: '--text' });
});

it('bench attention measures each form of the cache at each context, for one token and for a batch', async () => {
  const { flags } = await tinyFiles({});
  const { json } = await bench(['attention', ...flags, '-T', '64,256']);
  const { results } = json as { results: (AttentionTiming & { ratioToStreamingRead: number })[] };
  const forms = ['dense', 'q8', 'q4', 'q3', 'k3v2'];
  const rows = [64, 256].flatMap((context) =>
    forms.flatMap((kv) => [1, 64].map((tokens) => ({ context, kv, tokens }))),
  );
  expect(results).toMatchObject(rows);
  for (const { msPerToken, gbPerSecond, ratioToStreamingRead, dispatchesPerToken, tokens } of results) {
    expect(msPerToken.median).toBeGreaterThan(0);
    expect(ratioToStreamingRead).toBeGreaterThan(0);
    expect(gbPerSecond).toBeGreaterThan(0);
    expect(dispatchesPerToken * tokens).toBe(2);
  }
  const bytes = results.filter(({ context, tokens }) => context === 256 && tokens === 1).map((each) => each.bytes);
  const f16 = 2 * 2 * 64 * 2; // keys and values of 2 heads of 64 components
  expect(bytes[0]).toBe(256 * f16);
  expect(bytes).toEqual([...bytes].sort((a, b) => b - a));
  const policy = (await bench(['attention', ...flags, '-T', '512', '--kv', 'policy'])).json as {
    results: AttentionTiming[];
  };
  expect(policy.results.map(({ kv, tokens }) => [kv, tokens])).toEqual([
    ['policy', 1],
    ['policy', 64],
  ]);
  expect(policy.results[0]?.bytes).toBeLessThan(512 * f16);
});

it('bench decode changes page forms as tokens arrive', async () => {
  const { flags } = await tinyFiles({});
  const bytesPerToken = async (kv: string): Promise<number> => {
    const { json } = await bench(['decode', ...flags, '-T', '96', '--steps', '64', '--kv', kv]);
    return (json as { results: Timing[] }).results[0]?.bytesPerToken ?? NaN;
  };
  // Slightly over 160 tokens: of six pages the first, the last full one and the current one are in f16 in any case.
  const [dense, q4] = [await bytesPerToken('dense'), await bytesPerToken('q4')];
  const pages = 3 * 2; // two layers
  const f16 = 2 * 2 * 32 * 64 * 2;
  const heads = { numKvHeads: 2, headDim: 64 };
  expect(dense - q4).toBe(pages * (f16 - pageUnits('q4', heads) * UNIT_BYTES));
});

it('eval squad asks the questions of the last twelve articles', async () => {
  const article = (i: number) => ({
    title: `T${i}`,
    paragraphs: [
      {
        context: `The colour is c${i}.`,
        qas: [{ id: `q${i}`, question: 'Which colour?', answers: [{ text: `c${i}` }] }],
      },
    ],
  });
  const data = JSON.stringify({ data: Array.from({ length: 14 }, (_, i) => article(i)) });
  const prompt = JSON.stringify({ template: '{context} {question}', maxTokens: 4 });
  const { at, flags } = await tinyFiles({
    'squad.json': data,
    'bad.json': '{"data": [{}]}',
    'adapter/prompt.json': prompt,
  });
  const { json } = await evaluate(['squad', ...flags, '--data', at('squad.json'), '--limit', '6']);
  const { answers, exactMatch, meanRank } = json as {
    answers: { id: string }[];
    exactMatch: Estimate;
    meanRank: number;
  };
  expect(answers.map(({ id }) => id)).toEqual(['q2', 'q3', 'q4', 'q5', 'q6', 'q7']);
  expect(exactMatch.value).toBeLessThan(100);
  expect(meanRank).toBeGreaterThan(0);
  await expectError(() => evaluate(['squad', ...flags, '--data', at('bad.json')]), 'bad_file', {
    file: at('bad.json'),
  });
});
