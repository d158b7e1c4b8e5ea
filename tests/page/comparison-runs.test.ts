import { expect, test } from 'vitest';
import { type Run, runInTurns, type Runs, verdictOf } from '../../demo/chat/comparison-runs.ts';
import type { Way } from '../../demo/chat/request.ts';

const run = (tokens: number, tokensPerSecond = 10): Run => ({ tokens, ttftMs: 100, tokensPerSecond });

/** Measures answers of `tokens` tokens, after one warm-up of each way: the order of the ways, and their runs. */
async function measure(tokens: number, answer: (way: Way, at: number) => Run | undefined = () => run(tokens)) {
  const first = (way: Way, at: number): Run[] => [answer(way, at) ?? run(tokens)];
  const runs: Runs = { chunkwise: first('chunkwise', -1), ordinary: first('ordinary', 0) };
  const asked: Way[] = [];
  let pairs = 0;
  await runInTurns(
    runs,
    async (way) => answer(way, asked.push(way)),
    () => pairs++,
  );
  return { runs, asked: asked.map((way) => way[0]).join(''), pairs };
}

test('both ways alternate, pairs take turns in which way begins, until each has five runs and 64 tokens', async () => {
  expect((await measure(100)).asked).toBe('occooc' + 'co');
  const { runs, asked, pairs } = await measure(8);
  expect(asked).toBe('occo'.repeat(3) + 'oc');
  expect([runs.chunkwise.length, runs.ordinary.length, pairs]).toEqual([8, 8, 7]);
  // At four tokens each, 64 tokens take sixteen runs; shorter answers end there too.
  expect((await measure(4)).runs.ordinary).toHaveLength(16);
  expect((await measure(1)).runs.ordinary).toHaveLength(16);
});

test('a machine that slows down steadily shows no difference between the ways', async () => {
  const { runs } = await measure(64, (_way, at) => run(64, 100 / (1 + at / 4)));
  expect(verdictOf(runs)).toMatch(/: no difference is seen\.$/);
});

test('half a pair is dropped, and a run without times ends the comparison', async () => {
  const { runs } = await measure(64, (_way, at) => (at < 4 ? run(64) : undefined));
  expect([runs.chunkwise.length, runs.ordinary.length]).toEqual([2, 2]);
  const failing = measure(64, (_way, at) => {
    if (at === 4) throw new Error('stopped');
    return run(64);
  });
  await expect(failing).rejects.toThrow('stopped');
});

test('a difference is reported if the whole interval is on one side, as an interval if it is wide', () => {
  const runs = (ratios: number[]): Runs => ({
    chunkwise: ratios.map((ratio) => run(64, 10 * ratio)),
    ordinary: ratios.map(() => run(64, 10)),
  });
  expect(verdictOf(runs([1.2, 1.21, 1.2, 1.19, 1.2]))).toBe('Chunkwise writes 1.20 times as fast.');
  expect(verdictOf(runs([1.2, 1.5, 1.3, 1.1, 1.4]))).toBe('Chunkwise writes 1.10–1.50 times as fast.');
  expect(verdictOf(runs([0.7, 0.8, 0.75, 0.72, 0.9]))).toBe('Chunkwise writes 0.70–0.90 times as fast.');
  expect(verdictOf(runs([1.2, 0.9, 1.3, 1.1, 1.4]))).toBe(
    'Chunkwise writes 0.90–1.40 times as fast: no difference is seen.',
  );
  expect(verdictOf(runs([1, 1.01, 1, 0.99, 1]))).toBe('Chunkwise writes 1.00 times as fast: no difference is seen.');
  expect(verdictOf(runs([2, 2, 2, 2]))).toBeUndefined(); // too few runs
  const none = runs([1, 1, 1, 1, 1]);
  none.ordinary[2] = run(1, 0); // an answer of one token has no speed
  expect(verdictOf(none)).toBeUndefined();
});
