import { expect, it } from 'vitest';
import { pageEntry, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { shortConvKernel } from '../../src/kernels/short-conv.ts';
import { batchTable } from '../../src/layers/batch.ts';
import { type PlacedToken, shortConv } from '../../src/reference/kernels/short-conv.ts';
import { expectClose } from '../support/kernels/expect-close.ts';
import { pageOf } from '../support/kernels/pages.ts';
import { CLASSES, describeVariants } from '../support/kernels/runner.ts';
import { Random } from '../support/random.ts';

/** Pages of a text, and where they lie, out of order. */
const PAGES = 3;
const PLACES = [[4, 0, 2], [1, 5, 3]];

const run = (text: number, start: number, count: number): PlacedToken[] => Array.from({ length: count }, (_, i) => ({ text, position: start + i }));

/** Prefill from a text's beginning, across pages and behind one; decoding of two texts; a draft; and tokens that only seem to follow each other. */
const BATCHES: Record<string, PlacedToken[]> = {
  'the first token': run(0, 0, 1),
  'a text from its beginning': run(1, 0, 70),
  'behind a page': run(0, PAGE_TOKENS, 5),
  'over a page': run(1, PAGE_TOKENS - 1, 40),
  'two texts': [...run(0, 40, 1), ...run(1, 41, 1)],
  'two texts at one place': [...run(1, PAGE_TOKENS, 1), ...run(0, PAGE_TOKENS + 1, 1)],
  'a draft': run(0, 61, 7),
};

describeVariants(CLASSES, (getRunner) => {
  it.each(Object.entries(BATCHES))('%s', async (_name, tokens) => {
    const random = new Random(3);
    const runner = getRunner();
    for (const [width, count] of [[32, 3], [96, 4], [2080, 3], [64, 1]] as const) {
      const before = PLACES.map(() => random.normals(PAGES * PAGE_TOKENS * width, 1));
      const x = random.normals(tokens.length * 3 * width, 1);
      const taps = random.normals(count * width, 1);
      const units = (PAGE_TOKENS * width * 4) / UNIT_BYTES;
      const pages = PLACES.flatMap((places) => places.flatMap((place, i) => pageEntry(place * units, 'f16', PAGE_TOKENS, i * PAGE_TOKENS)));
      const kv = new Float32Array(2 * PAGES * PAGE_TOKENS * width);
      const eachPage = (put: (place: number, text: number, page: number) => void): void => PLACES.forEach((places, text) => places.forEach((place, page) => put(place, text, page)));
      const pageFloats = PAGE_TOKENS * width;
      eachPage((place, text, page) => kv.set(before[text]!.subarray(page * pageFloats, (page + 1) * pageFloats), place * pageFloats));
      const table = batchTable(tokens.map(({ text, position }) => ({ place: 0, position, firstPage: text * PAGES, page: pageOf(position) })));
      const [state, y] = [runner.upload(kv), runner.empty(tokens.length * width * 4)];
      const bounds = { batch_table: runner.upload(table), pages: runner.upload(Uint32Array.from(pages)), x: runner.upload(x), taps: runner.upload(taps), state, y };
      runner.run(shortConvKernel(runner.device, width, count), bounds, { tokens: tokens.length });
      const held = before.map((text) => Float64Array.from(text));
      const want = shortConv(x, taps, tokens, held);
      expectClose('short-conv', await runner.floats(y), want);
      const left = await runner.floats(state);
      const found = before.map((text) => new Float64Array(text.length));
      eachPage((place, text, page) => found[text]!.set(left.subarray(place * pageFloats, (place + 1) * pageFloats), page * pageFloats));
      expect(found.map((text) => Array.from(text)), 'what is kept').toEqual(held.map((text) => Array.from(text, Math.fround)));
    }
  });

  it('takes a page that was given back for nothing, whatever lies where it points', async () => {
    const runner = getRunner();
    const width = 32;
    const ones = (count: number): Float32Array => new Float32Array(count).fill(1);
    const table = batchTable([{ place: 0, position: PAGE_TOKENS, firstPage: 0, page: 1 }]);
    const pages = [...pageEntry(0, 'f16', 0, 0), ...pageEntry((PAGE_TOKENS * width * 4) / UNIT_BYTES, 'f16', PAGE_TOKENS, PAGE_TOKENS)];
    const y = runner.empty(width * 4);
    const state = runner.upload(ones(2 * PAGE_TOKENS * width).fill(NaN));
    const bounds = { batch_table: runner.upload(table), pages: runner.upload(Uint32Array.from(pages)), x: runner.upload(ones(3 * width)), taps: runner.upload(ones(3 * width)), state, y };
    runner.run(shortConvKernel(runner.device, width, 3), bounds, { tokens: 1 });
    expect(Array.from(await runner.floats(y))).toEqual(Array<number>(width).fill(1));
  });
});
