import { expect, test } from 'vitest';
import { buildAdapterLadder, type LadderBuilder } from '../../src/adapters/rank-ladder.ts';
import { ranksByRule } from '../../src/adapters/level-ranks.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { answer } from '../support/answer.ts';
import { logitsOf } from '../support/engine-under-test.ts';
import { ADAPTER, adaptedEngine, planOf, VARIED_TEXT } from '../support/plan-cases.ts';

const NAN = 0x7e00;
const BUDGET = 0.9;
const LEVELS = [0, 1, 0, 2, 1, 3];

/** Ladders with NaN in all components above the ranks of `level`. */
const poisoned =
  (level: number): LadderBuilder =>
  async (adapter, options) => {
    const ladder = buildAdapterLadder(adapter, options);
    const ranks = ranksByRule(ladder.modules, { rankErrorBudget: BUDGET }).ranks[level] ?? [];
    let spoilt = 0;
    ladder.modules.forEach(({ a, bTransposed, inFeatures, outFeatures }, i) => {
      const rank = ranks[i] ?? 0;
      a.fill(NAN, rank * inFeatures);
      bTransposed.fill(NAN, rank * outFeatures);
      spoilt += a.length - rank * inFeatures;
    });
    expect(spoilt).toBeGreaterThan(0);
    return ladder;
  };

const SPECTRUM = [{ seed: 31, rank: 24, gain: 0.1 }];

/** Tokens before the first one above `level`. */
function tokensUpTo(plan: ReturnType<typeof planOf>, level: number): number {
  const first = plan.table.findIndex((row) => row.levelHi > level);
  return first < 0 ? plan.table.length : first;
}

/** Lengths of prefill calls: all at once, one by one, two by two, and tiles across chunks. */
const PIECES: ((count: number) => number[])[] = [
  () => [],
  (count) => Array<number>(count).fill(1),
  (count) => Array<number>(count / 2).fill(2),
  () => [3, 9, 21, 5, 33, 7],
];

test('components above the rank of a token are not read', async () => {
  const clean = await adaptedEngine(SPECTRUM);
  const tokens = clean.tokenizer.encode(VARIED_TEXT).slice(0, 90);
  const plan = planOf(tokens, LEVELS, BUDGET);
  const allLogits = async (engine: LocalEngine): Promise<Float32Array[][]> => {
    const all: Float32Array[][] = [];
    for (const piecesOf of PIECES) {
      const pieces = piecesOf(tokens.length);
      all.push(await logitsOf(engine, tokens, { adapters: [ADAPTER], pieces, plan }));
    }
    return all;
  };
  const wanted = await allLogits(clean);
  for (const level of [0, 1, 2]) {
    const engine = await adaptedEngine(SPECTRUM, { buildLadders: poisoned(level) });
    const unharmed = tokensUpTo(plan, level);
    expect(unharmed).toBeGreaterThan(10);
    expect(unharmed).toBeLessThan(tokens.length);
    for (const [i, got] of (await allLogits(engine)).entries()) {
      expect(got.slice(0, unharmed)).toEqual(wanted[i]?.slice(0, unharmed));
      for (const logits of got.slice(0, unharmed)) expect(logits.every(Number.isFinite)).toBe(true);
      // The poison has an effect.
      expect(got.at(-1)?.some(Number.isNaN)).toBe(true);
    }
  }
});

test('components above the rank of an answer are not read', async () => {
  const clean = await adaptedEngine(SPECTRUM);
  const logitBias = new Map([...clean.tokenizer.eosIds].map((id) => [id, -100]));
  const prompt = clean.tokenizer.encode(VARIED_TEXT);
  const levels = Array.from({ length: 24 }, (_, i) => [0, 1, 2][i % 3] as number);
  const plan = planOf([...prompt, ...Array<number>(20).fill(0)], levels, BUDGET);
  const options = { maxTokens: 16, sampling: { ...GREEDY, logitBias }, stop: [], adapters: [ADAPTER], plan };
  const want = await answer(clean.complete(VARIED_TEXT, options));
  expect(want.tokens).toHaveLength(16);
  const poisonedAbove = async (level: number) => {
    const engine = await adaptedEngine(SPECTRUM, { buildLadders: poisoned(level) });
    return (await answer(engine.complete(VARIED_TEXT, options))).tokens;
  };
  expect(await poisonedAbove(2)).toEqual(want.tokens);
  expect(await poisonedAbove(1)).not.toEqual(want.tokens);
});
