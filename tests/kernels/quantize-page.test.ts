import { describe, expect, it } from 'vitest';
import { type Heads, PAGE_TOKENS } from '../../src/kernels/heads.ts';
import {
  CODE_BITS,
  headLayout,
  pageEntry,
  pageUnits,
  type QuantizedForm,
  UNIT_BYTES,
} from '../../src/kernels/formats/page-forms.ts';
import { quantizePageKernel } from '../../src/kernels/pages.ts';
import { Random } from '../support/random.ts';
import { expectAtMost } from '../support/kernels/expect-close.ts';
import { decodeHead, fromHalves, headsOf, toHalves } from '../support/kernels/pages.ts';
import { describeVariants, type Runner } from '../support/kernels/runner.ts';
import { byTier } from '../support/tier.ts';

/** Runs the kernel over pages in the form `was`; returns the bytes of their copies. */
async function quantized(
  runner: Runner,
  heads: Heads,
  form: QuantizedForm,
  pages: (Uint16Array | Uint8Array)[],
  was: 'f16' | 'q8' = 'f16',
): Promise<Uint8Array> {
  const [from, to] = [pageUnits(was, heads), pageUnits(form, heads)];
  const kv = new Uint16Array((pages.length * (from + to) * UNIT_BYTES) / 2).fill(0x7e00);
  const into = new Uint8Array(kv.buffer);
  pages.forEach((page, i) =>
    into.set(new Uint8Array(page.buffer, page.byteOffset, page.byteLength), i * from * UNIT_BYTES),
  );
  const buffer = runner.upload(kv);
  // The first task belongs to another dispatch.
  const tasks = pages.flatMap((_, i) => [
    ...pageEntry(i * from, was, PAGE_TOKENS, 0),
    ...pageEntry(pages.length * from + i * to, form, PAGE_TOKENS, 0),
  ]);
  const bounds = { tasks: runner.upload(Uint32Array.of(0, 0, 0, 0, 0, 0, 0, 0, ...tasks)), kv: buffer };
  runner.run(quantizePageKernel(runner.device, heads), bounds, { pages: pages.length }, { first: 1 });
  const bytes = new Uint8Array(await runner.read(buffer));
  expect(bytes.subarray(0, pages.length * from * UNIT_BYTES)).toEqual(
    new Uint8Array(kv.buffer, 0, pages.length * from * UNIT_BYTES),
  );
  return bytes.subarray(pages.length * from * UNIT_BYTES);
}

const HEADS = [
  headsOf(64, 9, 3),
  headsOf(32, 2, 1),
  headsOf(80, 2, 2),
  headsOf(96, 2, 1),
  headsOf(128, 4, 2),
  headsOf(256, 1, 1),
];
const FORMS = ['q8', 'q4', 'q3', 'k3v2'] as const;
/** Forms of written pages, quantized from f16 and from q8. */
const WRITTEN = byTier(HEADS.slice(0, 2), HEADS).flatMap((heads) => [
  ...FORMS.map((form) => ({ ...heads, form, was: 'f16' as const })),
  ...(['q4', 'q3'] as const).map((form) => ({ ...heads, form, was: 'q8' as const })),
]);
/** Largest relative L2 error of a value for quants of each number of bits, with normally distributed numbers: at most twice the expected one. */
const VALUE_ERRORS: Readonly<Record<number, number>> = { 8: 0.015, 4: 0.22, 3: 0.32, 2: 0.55 };

/**
 * Heads of random pages before and after quantization, `[PAGE_TOKENS, headDim]` keys and values. Channels vary by different
 * amounts. `was`: the form of the pages before.
 */
async function quantizedHeads(runner: Runner, heads: Heads, form: QuantizedForm, was: 'f16' | 'q8' = 'f16') {
  const { numKvHeads, headDim } = heads;
  const random = new Random(31);
  const size = PAGE_TOKENS * headDim;
  const loud = Array.from({ length: headDim }, () => 0.2 + 3 * random.next() ** 2);
  const pages = [0, 1].map(() =>
    toHalves(
      random.normals(2 * numKvHeads * size, 3).map((x, i) => (i < numKvHeads * size ? x * loud[i % headDim]! : x)),
    ),
  );
  const headsOfForm = (of: QuantizedForm, bytes: Uint8Array) => {
    const headBytes = headLayout(of, headDim).units * UNIT_BYTES;
    return Array.from({ length: pages.length * numKvHeads }, (_, head) =>
      decodeHead(of, bytes.subarray(head * headBytes, (head + 1) * headBytes), headDim),
    );
  };
  const inBytes = was === 'q8' ? await quantized(runner, heads, 'q8', pages) : undefined;
  const before = inBytes && headsOfForm('q8', inBytes);
  const pageLength = pageUnits('q8', heads) * UNIT_BYTES;
  const sources = inBytes ? pages.map((_, i) => inBytes.slice(i * pageLength, (i + 1) * pageLength)) : pages;
  const after = headsOfForm(form, await quantized(runner, heads, form, sources, was));
  return pages.flatMap((page, i) => {
    const halves = fromHalves(page);
    const part = (at: number): Float64Array => halves.subarray(at * size, (at + 1) * size);
    return Array.from({ length: numKvHeads }, (_, head) => {
      const at = i * numKvHeads + head;
      const { keys, values } = before?.[at] ?? { keys: part(head), values: part(numKvHeads + head) };
      return { keys, values, decoded: after[at]! };
    });
  });
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

type Quantized = Awaited<ReturnType<typeof quantizedHeads>>[number];

/** Expects keys within half a step, and ranges hardly wider than the keys. */
function expectKeys({ keys, decoded }: Quantized, headDim: number): void {
  const ranges = Array.from({ length: headDim }, (_, channel) => {
    const held = keys.filter((__, i) => i % headDim === channel);
    return {
      low: Math.min(...held),
      width: Math.max(...held) - Math.min(...held),
      largest: 2 ** decoded.keyBits[channel]! - 1,
    };
  });
  const lows = ranges.map(({ low }) => low);
  const span = Math.max(...lows) - Math.min(...lows);
  const widest =
    Math.max(...ranges.map(({ width, largest }) => width / largest)) +
    span / 255 / Math.min(...ranges.map(({ largest }) => largest));
  expectAtMost(
    'excess width of channel',
    ranges.map(({ width, largest }, channel) => decoded.keyScales[channel]! * largest - width),
    (channel) => ((widest * ranges[channel]!.largest) / 255 + span / 255) * 1.01,
  );
  expectAtMost(
    'error of key',
    keys.map((key, i) => Math.abs(decoded.keys[i]! - key)),
    (i) => decoded.keyScales[i % headDim]! * 0.5 * (1 + 1e-5) + 1e-6,
  );
}

/** Expects values that keep their direction, with errors within the bound of their bits. */
function expectValues({ values, decoded }: Quantized, headDim: number, form: QuantizedForm): void {
  for (let token = 0; token < PAGE_TOKENS; token++) {
    const [x, kept] = [values, decoded.values].map((all) => all.slice(token * headDim, (token + 1) * headDim)) as [
      Float64Array,
      Float64Array,
    ];
    const off = kept.map((value, i) => value - x[i]!);
    expect(Math.abs(dot(kept, x) / dot(x, x) - 1), `token ${token}`).toBeLessThan(0.01);
    expect(Math.sqrt(dot(off, off) / dot(x, x)), `token ${token}`).toBeLessThan(VALUE_ERRORS[CODE_BITS[form].value]!);
  }
}

/** Expects more bits for channels that vary more, `middle` on average. */
function expectOrder({ keys, decoded }: Quantized, headDim: number, middle: number): void {
  const quarter = 16 * Math.floor(headDim / 64);
  const counts = [middle + 1, middle, middle - 1].map((bits) => decoded.keyBits.filter((own) => own === bits).length);
  expect(counts).toEqual([quarter, headDim - 2 * quarter, quarter]);
  const spreadOf = (pair: number): number => {
    const channels = Array.from({ length: 8 }, (_, i) => 4 * pair + (i % 4) + (i < 4 ? 0 : headDim / 2));
    return channels.reduce((sum, channel) => {
      const held = keys.filter((_, i) => i % headDim === channel);
      return sum + (Math.max(...held) - Math.min(...held)) ** 2;
    }, 0);
  };
  const pairs = Array.from({ length: headDim / 8 }, (_, pair) => ({
    spread: spreadOf(pair),
    bits: decoded.keyBits[4 * pair]!,
  }));
  pairs.sort((a, b) => b.spread - a.spread);
  expect(pairs.map(({ bits }) => bits)).toEqual(pairs.map(({ bits }) => bits).sort((a, b) => b - a));
}

describe('quantize-page', () => {
  // Both classes have the same kernel.
  describeVariants(['cpu', 'cpu, without shader-f16'], (getRunner, variant) => {
    // How halves are read does not depend on the heads.
    const written = variant === 'cpu' ? WRITTEN : WRITTEN.filter(({ headDim }) => headDim === 64);
    it.each(written)(
      '$form from $was, $numKvHeads heads of $headDim: keys, values and the bits of each channel',
      async ({ form, was, ...heads }) => {
        const { headDim } = heads;
        for (const head of await quantizedHeads(getRunner(), heads, form, was)) {
          expectKeys(head, headDim);
          expectValues(head, headDim, form);
          if (was === 'f16' && (form === 'q4' || form === 'q3')) expectOrder(head, headDim, CODE_BITS[form].key);
        }
      },
    );

    it('keeps a constant channel and a constant value exactly', async () => {
      const heads = headsOf(64, 1, 1);
      const size = PAGE_TOKENS * 64;
      const page = toHalves(Float64Array.from({ length: 2 * size }, (_, i) => (i < size ? -1.5 : 0)));
      for (const form of FORMS) {
        const decoded = decodeHead(form, await quantized(getRunner(), heads, form, [page]), 64);
        expect([decoded.keys.every((key) => key === -1.5), decoded.values.every((value) => value === 0)], form).toEqual(
          [true, true],
        );
      }
    });
  });

  it('takes 8.3, 4.4, 3.4 and 2.9 bits per element at 64 channels', () => {
    const elements = 2 * PAGE_TOKENS * 64;
    const bits = (form: QuantizedForm) => (pageUnits(form, { numKvHeads: 1, headDim: 64 }) * UNIT_BYTES * 8) / elements;
    expect(FORMS.map(bits)).toEqual([8.34375, 4.375, 3.375, 2.875]);
  });
});
