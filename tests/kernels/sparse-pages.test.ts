import { describe, expect, it } from 'vitest';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import {
  headLayout,
  pageEntry,
  pageUnits,
  SPARSE_FORM,
  sparseHead,
  sparseUnits,
  UNIT_BYTES,
} from '../../src/kernels/formats/page-forms.ts';
import {
  SQUARE_STRIDE,
  entryAttentionKernel,
  type EntryMeasure,
  gatherEntriesKernel,
  quantizePageKernel,
} from '../../src/kernels/pages.ts';
import { batchTable } from '../../src/layers/batch.ts';
import { rotatedValue, rotateHead } from '../reference/kernels/paged-heads.ts';
import { dot, softmax } from '../reference/operations.ts';
import { attend, PAGES, randomRows, upload } from '../support/kernels/attend-pages.ts';
import { expectAtMost } from '../support/kernels/expect-close.ts';
import { decodeHead, fromHalves, headsOf, ropeOf } from '../support/kernels/pages.ts';
import { type Page, randomCache } from '../support/kernels/random-pages.ts';
import { describeVariants, HALF_VARIANTS } from '../support/kernels/runner.ts';
import { nmse } from '../support/nmse.ts';
import { Random } from '../support/random.ts';
import { byTier } from '../support/tier.ts';

const HEADS = [headsOf(64, 9, 3), headsOf(96, 4, 2), headsOf(128, 4, 4), headsOf(256, 2, 1)];

/** Pages before and after the base of the new page; one of them is sparse. */
const SOURCES: Page[] = [
  { form: 'f16', base: 0 },
  { form: 'k3v2', base: 32 },
  { form: 'q8', base: 96 },
  { form: 'sparse', base: 128, slotOf: (kvHead) => (kvHead === 1 ? undefined : { entries: 9, from: -32 }) },
];
const BASE = 64;

/** Shares of two whole pages, in f16 and k3v2; squared shares of pages in all forms, some heads of which have fewer entries or none. */
const MEASURES: readonly {
  measure: EntryMeasure;
  page: number;
  pages: number;
  firstQuery: number;
  of: (share: number) => number;
  joined: (a: number, b: number) => number;
}[] = [
  {
    ...{ measure: 'share', page: PAGES.findIndex(({ base }) => base === 224), pages: 2, firstQuery: 0 },
    ...{ of: (share) => share, joined: Math.max },
  },
  {
    ...{ measure: 'square', page: 0, pages: 9, firstQuery: 3 },
    ...{ of: (share) => share ** 2, joined: (a, b) => a + b },
  },
];

/** Fails if numbers differ by more than `by`. */
function near(what: string, got: ArrayLike<number>, want: ArrayLike<number>, by: number): void {
  expect(got.length).toBe(want.length);
  const apart = Array.from(want, (value, i) => Math.abs(value - (got[i] ?? NaN)));
  expectAtMost(what, apart, () => by);
}

describeVariants(HALF_VARIANTS, (getRunner) => {
  describe('sparse pages', () => {
    const shapes = byTier(HEADS.slice(0, 1), HEADS);

    it.each(shapes)('have entries of pages in any form, $numKvHeads heads of $headDim', async (heads) => {
      const { numKvHeads, headDim } = heads;
      const runner = getRunner();
      const random = new Random(71);
      const cache = randomCache(heads, SOURCES, random);
      const rope = ropeOf(headDim, 160);
      // Entries of each head: [page, index]; head 1 has none of the last page, and none at all in the second page made.
      const picked = Array.from({ length: numKvHeads }, (_, kvHead) =>
        Array.from({ length: 20 + kvHead }, (__, i): [number, number] => [
          (i + kvHead) % (kvHead === 1 ? 3 : 4),
          (5 * i + kvHead) % 9,
        ]),
      );
      const made = [picked, picked.map((own, kvHead) => (kvHead === 1 ? undefined : own.slice(0, 3)))];
      const froms = [32, -64];
      const [halfUnits, before] = [pageUnits('f16', heads), cache.bytes.length / UNIT_BYTES];
      const sizes = made.map((own) => sparseUnits(heads, own.filter((each) => each !== undefined).length));
      const offsets = [before + 2 * halfUnits, before + 2 * halfUnits + sizes[0]!];
      const kv = new Uint16Array(((offsets[1]! + sizes[1]! + 4) * UNIT_BYTES) / 2).fill(0x7e00);
      const bytes = new Uint8Array(kv.buffer);
      bytes.set(cache.bytes);
      made.forEach((own, i) => {
        const slots = own.map((entries) => entries && { entries: entries.length, from: froms[i]! });
        bytes.set(new Uint8Array(sparseHead(heads, slots).buffer), offsets[i]! * UNIT_BYTES);
      });
      const tasks = made.flatMap((own, i) => [
        ...pageEntry(before + i * halfUnits, 'f16', PAGE_TOKENS, BASE),
        ...pageEntry(offsets[i]!, 'sparse', Math.max(...own.map((each) => each?.length ?? 0)), BASE),
      ]);
      const sources = made.flatMap((own) =>
        own.flatMap((entries = [[0, 0]]) =>
          Array.from({ length: PAGE_TOKENS }, (_, i) => {
            const [page, entry] = entries[Math.min(i, entries.length - 1)]!;
            return page * PAGE_TOKENS + entry;
          }),
        ),
      );
      const buffer = runner.upload(kv);
      const bounds = {
        tasks: runner.upload(Uint32Array.from(tasks)),
        sources: runner.upload(Uint32Array.from(sources)),
        pages: runner.upload(cache.table),
        rope: runner.upload(rope),
        kv: buffer,
      };
      runner.run(gatherEntriesKernel(runner.device, heads), bounds, { pages: 2 }, {});
      const gathered = new Uint16Array(await runner.read(buffer));
      runner.run(quantizePageKernel(runner.device, heads), bounds, { pages: 2 }, { first: 0 });
      const after = new Uint8Array(await runner.read(buffer));
      const back = rope.map((value, i) => (i % headDim < headDim / 2 ? value : -value));
      const firstOf = (kvHead: number, page: number): number =>
        PAGE_TOKENS * Math.min(page, 3) + (page > 3 ? (kvHead === 1 ? 0 : 9) : 0);
      made.forEach((own, i) => {
        const halves = fromHalves(gathered.subarray(((before + i * halfUnits) * UNIT_BYTES) / 2));
        const row = (at: number): Float64Array => halves.slice(at * headDim, (at + 1) * headDim);
        const words = new Uint32Array(after.slice(offsets[i]! * UNIT_BYTES).buffer);
        own.forEach((entries, kvHead) => {
          if (!entries) return;
          const want = entries.map(([page, entry]) => {
            const { base, key, value } = cache.heads[kvHead]![firstOf(kvHead, page) + entry]!;
            const by = base - (BASE + froms[i]!);
            return { key: rotateHead(key, Math.abs(by), by < 0 ? back : rope), value: rotatedValue(value) };
          });
          const head = after.subarray((offsets[i]! + words[2 * kvHead]!) * UNIT_BYTES);
          const whole = head.subarray(0, headLayout(SPARSE_FORM, headDim).units * UNIT_BYTES);
          const { keys, values } = decodeHead(SPARSE_FORM, whole, headDim);
          const part = (of: Float64Array, j: number): Float32Array =>
            Float32Array.from(of.subarray(j * headDim, (j + 1) * headDim));
          want.forEach(({ key, value }, j) => {
            near('key', row(kvHead * PAGE_TOKENS + j), key, 4e-3);
            near('value', row((numKvHeads + kvHead) * PAGE_TOKENS + j), value, 4e-3);
          });
          const all = (of: 'key' | 'value'): Float32Array[] => want.map((each) => Float32Array.from(each[of]));
          // As whole pages of random numbers lose (quantize-page.test.ts).
          expect(
            nmse(
              want.map((_, j) => part(keys, j)),
              all('key'),
            ),
          ).toBeLessThan(0.08);
          expect(
            nmse(
              want.map((_, j) => part(values, j)),
              all('value'),
            ),
          ).toBeLessThan(0.3);
        });
      });
      // Nothing else is written.
      const others = (of: Uint8Array): Uint8Array[] => [of.slice(0, cache.bytes.length), of.slice(-4 * UNIT_BYTES)];
      expect(others(after)).toEqual(others(bytes));
    });

    it.each(shapes)(
      'know what attention their entries had, $numHeads heads over $numKvHeads of $headDim',
      async (heads) => {
        const { numHeads, numKvHeads, headDim } = heads;
        const runner = getRunner();
        const random = new Random(72);
        const cache = randomCache(heads, PAGES, random);
        const rope = ropeOf(headDim, 352);
        const entriesOf = ({ form, slotOf }: Page, kvHead: number): number =>
          form === 'sparse' ? (slotOf?.(kvHead)?.entries ?? 0) : PAGE_TOKENS;
        // By head: page and index of each entry.
        const places = Array.from({ length: numKvHeads }, (_, kvHead) =>
          PAGES.flatMap((own, page) =>
            Array.from({ length: entriesOf(own, kvHead) }, (__, entry) => ({ page, entry })),
          ),
        );
        for (const [positions, perSplit] of [
          [[288, 295, 319, 320, 340], PAGES.length],
          [Array.from({ length: 40 }, (_, i) => 300 + i), 3],
        ] as const) {
          const { width, qkv } = randomRows(heads, positions.length, random);
          const shown = {
            heads,
            positions,
            qkv: runner.upload(qkv),
            rope: runner.upload(rope),
            kv: upload(runner, cache),
          };
          const { partial_outputs, splits } = attend(runner, shown, PAGES, cache.table, perSplit);
          const last = (position: number): number => position - (position % PAGE_TOKENS);
          const table = batchTable(
            positions.map((position) => ({
              ...{ place: 0, position, firstPage: 0 },
              page: PAGES.findIndex(({ base }) => base === last(position)),
            })),
          );
          const { qkv: queries, rope: angles, kv } = shown;
          for (const { measure, page, pages, firstQuery, joined, of } of MEASURES) {
            const want = new Float64Array(pages * numKvHeads * PAGE_TOKENS);
            positions.forEach((position, token) => {
              if (measure === 'square' && token % SQUARE_STRIDE !== firstQuery) return;
              for (let head = 0; head < numHeads; head++) {
                const query = Float64Array.from(
                  qkv.subarray(token * width + head * headDim, token * width + (head + 1) * headDim),
                );
                const kvHead = Math.floor((head * numKvHeads) / numHeads);
                const own = cache.heads[kvHead]!;
                const start = own.findIndex(({ base }) => base === last(position));
                const seen = own.slice(0, start + 1 + position - last(position));
                const scores = seen.map(
                  ({ key, base }) => dot(rotateHead(query, position - base, rope), key) / Math.sqrt(headDim),
                );
                softmax(Float64Array.from(scores)).forEach((share, i) => {
                  const at = places[kvHead]![i]!;
                  if (at.page < page || at.page >= page + pages) return;
                  const index = ((at.page - page) * numKvHeads + kvHead) * PAGE_TOKENS + at.entry;
                  want[index] = joined(want[index]!, of(share));
                });
              }
            });
            const isHeld = Array.from(want, (_, i) => {
              const own = PAGES[page + Math.floor(i / PAGE_TOKENS / numKvHeads)]!;
              return i % PAGE_TOKENS < entriesOf(own, Math.floor(i / PAGE_TOKENS) % numKvHeads);
            });
            const held = (of: ArrayLike<number>): number[] => Array.from(of).filter((_, i) => isHeld[i]);
            const [floor, first] = [0.01, 3];
            const found = runner.upload(new Float32Array(first + want.length + 1).fill(floor));
            const named = {
              ...{ qkv: queries, rope: angles, kv, partial_outputs, found },
              ...{ batch_table: runner.upload(table), pages: runner.upload(cache.table) },
            };
            const size = { tokens: positions.length, firstQuery, splits, page, first };
            const kernel = entryAttentionKernel(runner.device, heads, measure);
            runner.run(kernel, named, { pages }, { ...size, isFirst: 0 });
            const before = await runner.floats(found);
            near(
              `${measure} after an earlier one`,
              held(before.subarray(first, -1)),
              held(want.map((own) => joined(own, floor))),
              1e-5,
            );
            runner.run(kernel, named, { pages }, { ...size, isFirst: 1 });
            const after = await runner.floats(found);
            near(measure, held(after.subarray(first, -1)), held(want), 1e-5);
            expect([...after.subarray(0, first), after.at(-1)]).toEqual([...before.subarray(0, first), before.at(-1)]);
          }
        }
      },
    );
  });
});
