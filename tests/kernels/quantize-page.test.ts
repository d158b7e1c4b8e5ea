import { describe, expect, it } from 'vitest';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import { headLayout, pageEntry, pageUnits, type QuantizedForm, UNIT_BYTES } from '../../src/kernels/formats/page-forms.ts';
import { quantizePageKernel } from '../../src/kernels/quantize-page.ts';
import { Random } from '../support/random.ts';
import { decodeHead, fromHalves, headsOf, toHalves } from '../support/kernels/pages.ts';
import { describeVariants, HALF_VARIANTS, type Runner } from '../support/kernels/runner.ts';

/** Runs the kernel over `pages` f16 pages; returns the buffer's bytes with their copies behind them. */
async function quantized(runner: Runner, heads: Heads, form: QuantizedForm, pages: Uint16Array[]): Promise<Uint8Array> {
  const [from, to] = [pageUnits('f16', heads), pageUnits(form, heads)];
  const kv = new Uint16Array((pages.length * (from + to) * UNIT_BYTES) / 2).fill(0x7e00);
  pages.forEach((page, i) => kv.set(page, (i * from * UNIT_BYTES) / 2));
  const buffer = runner.upload(kv);
  // The first task is another dispatch's.
  const tasks = pages.flatMap((_, i) => [
    ...pageEntry(i * from, 'f16', PAGE_TOKENS, 0),
    ...pageEntry(pages.length * from + i * to, form, PAGE_TOKENS, 0),
  ]);
  const bounds = { tasks: runner.upload(Uint32Array.of(0, 0, 0, 0, 0, 0, 0, 0, ...tasks)), kv: buffer };
  runner.run(quantizePageKernel(runner.device, heads), bounds, { pages: pages.length }, { first: 1 });
  const bytes = new Uint8Array(await runner.read(buffer));
  expect(bytes.subarray(0, pages.length * from * UNIT_BYTES)).toEqual(new Uint8Array(kv.buffer, 0, pages.length * from * UNIT_BYTES));
  return bytes.subarray(pages.length * from * UNIT_BYTES);
}

const HEADS = [headsOf(64, 9, 3), headsOf(32, 2, 1), headsOf(80, 2, 2), headsOf(96, 2, 1), headsOf(128, 4, 2), headsOf(256, 1, 1)];

describe('quantize-page', () => {
  describeVariants(HALF_VARIANTS, (getRunner) => {
    it.each(HEADS.flatMap((heads) => (['q8', 'q4', 'k4v2'] as const).map((form) => ({ ...heads, form }))))(
      '$form, $numKvHeads heads of $headDim: within half a step of every key and value',
      async ({ form, ...heads }) => {
        const { numKvHeads, headDim } = heads;
        const random = new Random(31);
        const size = PAGE_TOKENS * headDim;
        const pages = [0, 1].map(() => toHalves(random.normals(2 * numKvHeads * size, 3)));
        const bytes = await quantized(getRunner(), heads, form, pages);
        const { units } = headLayout(form, headDim);
        const steps = { q8: { keys: 255, values: 255 }, q4: { keys: 15, values: 15 }, k4v2: { keys: 15, values: 3 } }[form];
        const wrong: string[] = [];
        pages.forEach((page, i) => {
          const halves = fromHalves(page);
          for (let head = 0; head < numKvHeads; head++) {
            const at = (i * numKvHeads + head) * units * UNIT_BYTES;
            const decoded = decodeHead(form, bytes.subarray(at, at + units * UNIT_BYTES), headDim);
            const parts = { keys: halves.subarray(head * size), values: halves.subarray((numKvHeads + head) * size) };
            for (let j = 0; j < size; j++) {
              const [token, channel] = [Math.floor(j / headDim), j % headDim];
              const scales = { keys: decoded.keyScales[channel] ?? NaN, values: decoded.valueScales[token] ?? NaN };
              for (const part of ['keys', 'values'] as const) {
                const allowed = scales[part] * 0.5 * (1 + 1e-5) + 1e-6;
                const error = Math.abs((decoded[part][j] ?? NaN) - (parts[part][j] ?? NaN));
                if (!(error <= allowed)) wrong.push(`page ${i}, head ${head}, ${part} ${j}: off by ${error}, allowed ${allowed}`);
              }
            }
            // Ranges are as narrow as what they hold, but for a step of the scales and one of the minima.
            const rangesOf = (part: Float64Array, count: number, at: (range: number, i: number) => number, length: number) =>
              Array.from({ length: count }, (_, range) => {
                const held = Array.from({ length }, (_, i) => part[at(range, i)] ?? NaN);
                return { low: Math.min(...held), width: Math.max(...held) - Math.min(...held) };
              });
            for (const { ranges, kept, steps: largest } of [
              { ranges: rangesOf(parts.keys, headDim, (channel, token) => token * headDim + channel, PAGE_TOKENS), kept: decoded.keyScales, steps: steps.keys },
              { ranges: rangesOf(parts.values, PAGE_TOKENS, (token, i) => token * headDim + i, headDim), kept: decoded.valueScales, steps: steps.values },
            ]) {
              const widest = Math.max(...ranges.map(({ width }) => width));
              const lows = ranges.map(({ low }) => low);
              const span = Math.max(...lows) - Math.min(...lows);
              ranges.forEach(({ width }, range) => {
                const excess = (kept[range] ?? NaN) * largest - width;
                if (!(excess < ((widest + span) / 255 + span / 255) * 1.01)) wrong.push(`page ${i}, head ${head}, range ${range}: ${excess} too wide`);
              });
            }
          }
        });
        expect(wrong).toEqual([]);
      },
    );

    it('a channel, and a value, that is the same everywhere', async () => {
      const heads = headsOf(64, 1, 1);
      const page = toHalves(new Float64Array(2 * PAGE_TOKENS * 64).fill(-1.5));
      const decoded = decodeHead('q4', await quantized(getRunner(), heads, 'q4', [page]), 64);
      expect([...decoded.keys, ...decoded.values].every((value) => value === -1.5)).toBe(true);
    });
  });

  it('costs 8.41, 4.41 and 3.41 bits an element at 64 channels', () => {
    const elements = 2 * PAGE_TOKENS * 64;
    const bits = (form: QuantizedForm) => (pageUnits(form, { numKvHeads: 1, headDim: 64 }) * UNIT_BYTES * 8) / elements;
    expect([bits('q8'), bits('q4'), bits('k4v2')]).toEqual([8.40625, 4.40625, 3.40625]);
  });
});
