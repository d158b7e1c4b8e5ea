import { afterAll, expect, test } from 'vitest';
import { Fuzzer } from './fuzz.ts';
import { KINDS } from './kinds.ts';

/** Cases per kind, at a fixed seed; `npm run fuzz -- 10000` tries other seeds. */
const COUNT = 80;
const SEED = 14;

const fuzzer = new Fuzzer();
afterAll(() => fuzzer.close());

const names = Object.keys(KINDS).filter((name) => name !== 'selfCheck');

test.each(names)('%s: mutated inputs are accepted or refused by name, in bounded time and memory', async (name) => {
  const { cases, refused, failures } = await fuzzer.run(name, { count: COUNT, seed: SEED });
  expect(failures).toEqual([]);
  expect(cases).toBe(COUNT);
  if (name === 'requests') return; // every result is a response
  // Many mutations must be refused, or they test nothing; some only replace one number by another.
  expect(refused).toBeGreaterThan(COUNT / 5);
  expect(refused).toBeLessThan(COUNT);
});

test('untyped errors, wrong results, slow or large cases, and hangs are detected', async () => {
  const { cases, refused, failures } = await fuzzer.run('selfCheck', { count: 9, seed: 1, mostCpuMs: 100 });
  expect([cases, refused]).toEqual([9, 1]);
  expect(failures.map(({ index, what, failure }) => [index, what, failure])).toEqual([
    [2, 'untyped', expect.stringContaining('TypeError: no')],
    [3, 'another code', expect.stringContaining('network')],
    [4, 'wrong', expect.stringContaining('wrong: one and one')],
    [5, 'slow', expect.stringContaining('ms of processor time')],
    [6, 'large', expect.stringContaining('bytes of memory')],
    [7, 'hung', expect.stringContaining('hangs')],
  ]);
});
