import { expect, it } from 'vitest';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { FOUND_BYTES, FOUND_FLOATS, probePageKernel } from '../../src/kernels/pages.ts';
import { rotateHead } from '../reference/kernels/paged-heads.ts';
import { dot, softmax } from '../reference/operations.ts';
import { Random } from '../support/random.ts';
import { attend, PAGES, randomRows, type Shown, upload } from '../support/kernels/attend-pages.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import { headsOf, ropeOf } from '../support/kernels/pages.ts';
import { type Cache, type Page, randomCache } from '../support/kernels/random-pages.ts';
import { describeVariants, HALF_VARIANTS, type Variant } from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';

/** Reference attention of queries `[T, numHeads, headDim]` at `positions`, which see entries on earlier pages and on their own. */
function twin(
  heads: Heads,
  queries: Float64Array,
  positions: readonly number[],
  cache: Cache,
  rope: Float32Array,
): Float64Array {
  const { numHeads, numKvHeads, headDim, attentionScale = 1 / Math.sqrt(headDim) } = heads;
  const y = new Float64Array(queries.length);
  positions.forEach((position, token) => {
    for (let head = 0; head < numHeads; head++) {
      const at = (token * numHeads + head) * headDim;
      const query = queries.slice(at, at + headDim);
      const last = position - (position % PAGE_TOKENS);
      const own = cache.heads[Math.floor(head / (numHeads / numKvHeads))] ?? [];
      const seen = own.filter(
        ({ base }, i) =>
          base < last || (base === last && i - own.findIndex((entry) => entry.base === last) <= position - last),
      );
      const scores = seen.map(({ key, base }) => dot(rotateHead(query, position - base, rope), key) * attentionScale);
      softmax(Float64Array.from(scores)).forEach((weight, j) => {
        seen[j]?.value.forEach((value, i) => (y[at + i]! += weight * value));
      });
    }
  });
  return y;
}

const HEADS = [headsOf(64, 9, 3), { ...headsOf(32, 4, 1), attentionScale: 0.07 }, headsOf(80, 3, 3)];
/** Kernels for graphics cards divide wide heads among invocations. */
const WIDE_HEADS = [headsOf(128, 8, 1), headsOf(256, 3, 1)];

function headsFor(variant: Variant): readonly Heads[] {
  if (variant.endsWith('f16')) return HEADS.slice(0, 1); // how halves are read does not depend on the heads
  return byTier(HEADS.slice(0, 1), variant === 'gpu' ? [...HEADS, ...WIDE_HEADS] : HEADS);
}

describeVariants(HALF_VARIANTS, (getRunner, variant) => {
  const shapes = headsFor(variant);

  it.each(shapes)('attends to pages of every form, $numHeads heads over $numKvHeads of $headDim', async (heads) => {
    const { numHeads, headDim } = heads;
    const random = new Random(33);
    const cache = randomCache(heads, PAGES, random);
    const rope = ropeOf(headDim, 352);
    for (const [positions, pagesPerSplit] of [
      [[330], 1],
      [[351, 351], 3],
      [[288, 295, 319, 320, 340], 10],
    ] as const) {
      const runner = getRunner();
      const { width, qkv } = randomRows(heads, positions.length, random);
      const queries = Float64Array.from(
        positions.flatMap((_, t) => [...qkv.subarray(t * width, t * width + numHeads * headDim)]),
      );
      const shown = { heads, positions, qkv: runner.upload(qkv), rope: runner.upload(rope), kv: upload(runner, cache) };
      const want = twin(heads, queries, positions, cache, rope);
      const ways: Pick<Shown, 'kind' | 'pageParts'>[] = [{ kind: 'prefill' }];
      if (runner.device.variant.sharedPages) ways.push({ kind: 'decode' }, { kind: 'decode', pageParts: 4 });
      for (const way of ways) {
        const { y } = attend(runner, { ...shown, ...way }, PAGES, cache.table, pagesPerSplit);
        expectClose('attention', await runner.floats(y), want);
      }
    }
  });

  it.each(shapes.slice(0, byTier([1], [2])[0]))(
    'probes how much another form of a page changes the output, $numHeads heads over $numKvHeads of $headDim',
    async (heads) => {
      const { numHeads, headDim } = heads;
      const random = new Random(34);
      const runner = getRunner();
      // Copies of some pages follow the attended pages.
      const others: [at: number, Page][] = [
        [1, { form: 'q8', base: 32 }],
        [4, { form: 'sparse', base: 128 }],
        [6, { form: 'f16', base: 192 }],
        [7, { form: 'f16', base: 256 }],
      ];
      const cache = randomCache(heads, [...PAGES, ...others.map(([, page]) => page)], random);
      const entryAt = (i: number) => cache.table.subarray(4 * i, 4 * i + 4);
      const table = cache.table.subarray(0, 4 * PAGES.length);
      const positions = [345, 346, 347, 348, 349, 350];
      const { qkv } = randomRows(heads, positions.length, random);
      const shown = {
        heads,
        positions,
        qkv: runner.upload(qkv),
        rope: runner.upload(ropeOf(headDim, 352)),
        kv: upload(runner, cache),
      };
      const { y, probes } = attend(runner, shown, PAGES, table, 3);
      const tasks = Uint32Array.from([
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        ...others.flatMap(([at], i) => [...entryAt(at), ...entryAt(PAGES.length + i)]),
      ]);
      const errors = runner.empty((others.length + 1) * numHeads * FOUND_BYTES);
      const bounds = { kv: shown.kv, rope: shown.rope, qkv: probes, tasks: runner.upload(tasks), errors };
      const params = { first: 1, count: others.length, together: 1, queries: 3, slot: 0, position: 350 };
      runner.run(probePageKernel(runner.device, heads), bounds, { found: others.length }, params);
      const found = await runner.floats(errors);
      const got = (task: number, head: number): number[] => [
        ...found.subarray((task * numHeads + head) * FOUND_FLOATS),
      ];
      const plain = await runner.floats(y);
      for (const [i, [at]] of others.entries()) {
        const replaced = table.slice();
        replaced.set(entryAt(PAGES.length + i), 4 * at);
        const moved = await runner.floats(attend(runner, shown, PAGES, replaced, 3).y);
        for (let head = 0; head < numHeads; head++) {
          let [change, size] = [0, 0];
          for (const token of [3, 4, 5]) {
            for (let j = 0; j < headDim; j++) {
              const index = (token * numHeads + head) * headDim + j;
              change += ((moved[index] ?? NaN) - (plain[index] ?? NaN)) ** 2;
              size += (plain[index] ?? NaN) ** 2;
            }
          }
          const [gotChange = NaN, gotSize = NaN] = got(i + 1, head);
          expect(gotSize / size).toBeCloseTo(1, 4);
          expect(Math.sqrt(gotChange / gotSize)).toBeCloseTo(Math.sqrt(change / size), 4);
        }
      }
      expect(found.subarray(0, numHeads * FOUND_FLOATS)).toEqual(new Float32Array(numHeads * FOUND_FLOATS));
    },
  );
});
