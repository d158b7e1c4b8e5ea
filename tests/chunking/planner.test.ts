import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { levelRanks } from '../../src/adapters/level-ranks.ts';
import { meanRank } from '../../src/chunking/chunk-plan.ts';
import type { Chunk, ChunkPlan } from '../../src/chunking/chunk-plan.ts';
import { Planner } from '../../src/chunking/planner.ts';
import { planChunks } from '../support/plan-chunks.ts';
import type { PlanOptions } from '../../src/chunking/planner.ts';
import { rampTable } from '../../src/chunking/ramps.ts';
import { expectError } from '../support/expect-error.ts';
import { Random } from '../support/random.ts';
import { mean, randomText, randomWords } from './random-text.ts';
import { tokenizer, vocabulary } from './real-vocabulary.ts';

/** Default mean ranks of an adapter of rank 16 with equal singular values. */
const LADDER = levelRanks([{ singularValues: Array<number>(16).fill(1) }]).meanRanks;
const SLACK = 16;
const prose = await readFile(new URL('../support/prose.txt', import.meta.url), 'utf8');

const plan = (text: string, options: Partial<PlanOptions> = {}) =>
  planChunks(tokenizer.encode(text), { vocabulary, ladder: LADDER, ...options });
const mixed = (seed: number) => {
  const random = new Random(seed);
  const text = randomText(random, randomWords(random, 80), 30);
  return text + text.slice(0, text.length / 3) + randomText(random, randomWords(random, 80), 10);
};
const tokensOf = (plan: ChunkPlan, level: number) =>
  plan.chunks.filter((chunk) => chunk.level === level).reduce((sum, { start, end }) => sum + end - start, 0);

describe('ordinary prose', () => {
  it('has at least three levels, each with more than a twentieth of the tokens', () => {
    const whole = plan(prose);
    const levels = LADDER.map((_, level) => tokensOf(whole, level)).filter(
      (tokens) => tokens > whole.tokens.length / 20,
    );
    expect(levels.length).toBeGreaterThanOrEqual(3);
  });

  it('reads less than half of the ranks, and ends chunks at boundaries if possible', () => {
    const { table, chunks, tokens } = plan(prose);
    expect(meanRank(table, LADDER)).toBeLessThan(0.5 * 16);
    const ends = chunks.map(({ end }) => tokenizer.decode(tokens.slice(0, end)));
    const atBoundary = ends.filter((text) => /[.!?]["']?\s*$/.test(text)).length;
    expect(atBoundary).toBeGreaterThan(ends.length / 2);
  });
});

describe("a prompt's end", () => {
  it('is a chunk of its own with the whole adapter', () => {
    const { chunks, tokens } = plan(prose.slice(0, 2000));
    expect(chunks.at(-1)).toMatchObject({ level: 5, end: tokens.length });
    expect(tokens.length - chunks.at(-1)!.start).toBeLessThan(16);
    for (const { start, end } of chunks.slice(0, -1)) expect(end - start).toBeGreaterThanOrEqual(8);
    expect(plan('Hi').chunks).toMatchObject([{ level: 5 }]);
    for (const { level } of chunks.slice(0, -1)) expect(level).toBeLessThan(5);
  });
});

describe.each([1, 2, 3, 4])('half boilerplate, half dense numbers, seed %i', (seed) => {
  const random = new Random(seed);
  const clause = 'Permission is granted to any person to use, copy and change this software without restriction. ';
  const boilerplate = `${clause.repeat(20)}\n`;
  const numbers = `${Array.from({ length: 90 }, () => (random.next() * 10_000).toFixed(random.below(3))).join(', ')}\n`;

  it.each([true, false])(
    'gives the numbers twice the rank and level of boilerplate; boilerplate first: %s',
    (isFirst) => {
      const [first, second] = isFirst ? [boilerplate, numbers] : [numbers, boilerplate];
      const { table } = plan(first + second);
      const cut = tokenizer.encode(first).length;
      const halves = [table.slice(0, cut), table.slice(cut)];
      const [easy, hard] = isFirst ? halves : halves.reverse();
      expect(meanRank(hard!, LADDER)).toBeGreaterThanOrEqual(2 * meanRank(easy!, LADDER));
      expect(mean(hard!.map((row) => row.levelHi))).toBeGreaterThanOrEqual(2 * mean(easy!.map((row) => row.levelHi)));
    },
  );
});

describe.each([1, 2, 3, 4, 5])('a random text, seed %i', (seed) => {
  const tokens = tokenizer.encode(mixed(seed));

  it('has equal plans at once and token by token', () => {
    const planner = new Planner({ vocabulary, ladder: LADDER });
    const known: Chunk[] = [];
    tokens.forEach((token, i) => {
      for (const chunk of planner.push(token)) {
        expect(i + 1).toBeLessThanOrEqual(chunk.end + SLACK);
        known.push(chunk);
      }
    });
    const streamed = planner.finish();
    expect(JSON.stringify(streamed)).toBe(JSON.stringify(planChunks(tokens, { vocabulary, ladder: LADDER })));
    expect(streamed.chunks.slice(0, known.length)).toEqual(known);
    expect(known.length).toBeGreaterThan(streamed.chunks.length - 4);
  });

  it('covers every token with a chunk and a row', () => {
    const { chunks, complexity, table } = planChunks(tokens, { vocabulary });
    expect(complexity).toHaveLength(tokens.length);
    expect(table).toHaveLength(tokens.length);
    expect(chunks.flatMap(({ start, end }) => tokens.slice(start, end))).toEqual(tokens);
    for (const { start, end, complexity: c } of chunks) expect(c).toBeCloseTo(mean(complexity.slice(start, end)), 12);
  });

  it('keeps chunks that end more than the slack before an edited token', () => {
    const random = new Random(seed);
    const { chunks } = planChunks(tokens, { vocabulary });
    for (let trial = 0; trial < 5; trial++) {
      const i = random.below(tokens.length);
      const edited = tokens.with(i, random.below(vocabulary.size));
      const before = ({ end }: Chunk) => end <= i - SLACK;
      expect(planChunks(edited, { vocabulary }).chunks.filter(before)).toEqual(chunks.filter(before));
    }
  });
});

describe('controls', () => {
  const text = mixed(9) + prose;
  const chunkwise = plan(text);

  it('uniform uses the whole adapter everywhere, and a number uses that rank', () => {
    const uniform = plan(text, { ranks: 'uniform' });
    expect(tokensOf(uniform, 5)).toBe(uniform.tokens.length);
    expect(meanRank(uniform.table, uniform.ladder!)).toBe(16);
    const six = plan(text, { ranks: 6 });
    expect(six.ladder).toEqual([6]);
    expect(six.levels).toEqual({ ranks: [6] });
    expect(meanRank(six.table, six.ladder!)).toBe(6);
    expect(six.chunks.map(({ end }) => end)).toEqual(chunkwise.chunks.map(({ end }) => end));
  });

  it('uniform at equal mean rank has the mean of the chunkwise plan', () => {
    const equal = plan(text, { ranks: 'uniform', equalMeanRank: true });
    const wanted = meanRank(chunkwise.table, LADDER);
    expect(equal.ladder).toEqual([Math.floor(wanted), Math.floor(wanted) + 1]);
    expect(equal.levels).toEqual({ ranks: equal.ladder });
    // Ramps between the two ranks read the higher one.
    expect(Math.abs(meanRank(equal.table, equal.ladder!) / wanted - 1)).toBeLessThan(0.03);
  });

  it('shuffled keeps the number of tokens per level, in an order given by the seed', () => {
    const shuffled = plan(text, { ranks: 'shuffled', seed: 4 });
    LADDER.forEach((_, level) => expect(tokensOf(shuffled, level)).toBe(tokensOf(chunkwise, level)));
    expect(shuffled.chunks.at(-1)!.end).toBe(shuffled.tokens.length);
    const { start, end, complexity } = shuffled.chunks[3]!;
    expect(complexity).toBeCloseTo(mean(shuffled.complexity.slice(start, end)), 12);
    const levels = (plan: ChunkPlan) => plan.table.map((row) => row.levelHi);
    const moved = levels(shuffled).filter((level, i) => level !== levels(chunkwise)[i]).length;
    expect(moved).toBeGreaterThan(shuffled.tokens.length / 4);
    expect(plan(text, { ranks: 'shuffled', seed: 4 })).toEqual(shuffled);
    expect(plan(text, { ranks: 'shuffled', seed: 5 })).not.toEqual(shuffled);
  });
});

describe('options', () => {
  it('scales of chunks and requests multiply the rows', () => {
    const chunkScale = (_: unknown, level: number) => (level === 3 ? 1.3 : 1);
    const { chunks, table } = plan(prose, {
      chunkScale,
      ramps: { requestScale: 0.5, rampWidth: 6, placement: 'after' },
    });
    expect(new Set(chunks.map(({ scale }) => scale))).toEqual(new Set([1, 1.3]));
    expect(table).toEqual(rampTable(chunks, { requestScale: 0.5, rampWidth: 6, placement: 'after' }));
    expect(table[chunks[0]!.start]!.wLo).toBe(chunks[0]!.scale / 2);
  });

  it("the model's entropy decides the complexity of sampled tokens", () => {
    const levels = (entropy: number) => {
      const planner = new Planner({ vocabulary, estimator: 'entropy' });
      for (const token of tokenizer.encode(prose)) planner.push(token, entropy);
      // The last chunk always takes the whole adapter.
      return new Set(
        planner
          .finish()
          .chunks.slice(0, -1)
          .map(({ level }) => level),
      );
    };
    expect(levels(0.001)).toEqual(new Set([0]));
    expect(levels(0.6)).toEqual(new Set([4]));
  });

  it('hysteresis makes fewer changes', () => {
    const changes = (hysteresis: number) =>
      plan(mixed(3), { hysteresis }).chunks.filter(({ level }, i, all) => i > 0 && level !== all[i - 1]!.level).length;
    expect(changes(0.04)).toBeLessThan(changes(0));
  });

  it('an empty text has an empty plan', () => {
    expect(plan('')).toEqual({ tokens: [], complexity: [], chunks: [], table: [], ladder: LADDER, levels: null });
  });

  it.each([
    ['ladder', { ladder: [1, 2, 3] }],
    ['ladder', { ladder: [1, 4, 2, 8] }],
    ['ladder', { ladder: undefined, equalMeanRank: true }],
    ['ranks', { ranks: -1 }],
    ['rampWidth', { ramps: { rampWidth: 1.5 } }],
    ['requestScale', { ramps: { requestScale: NaN } }],
    ['hysteresis', { hysteresis: -1 }],
    ['thresholds', { thresholds: [0.5, 0.4, 0.6] }],
    ['estimator', { estimator: 'guess' as never }],
    ['budget', { chunker: { budget: -1 } }],
  ])('a bad %s is refused', (field, options) => expectError(() => plan('Text.', options), 'bad_request', { field }));

  it('a token outside the vocabulary is refused', () =>
    expectError(() => planChunks([vocabulary.size], { vocabulary }), 'bad_request', { field: 'tokens' }));
});
