import type { Device } from '../../gpu/device.ts';
import type { Kernel } from '../../gpu/kernel.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Check } from '../../gpu/self-check.ts';
import { attentionTextsKernel, type TextHeads } from '../../kernels/encoder/attention-texts.ts';
import { poolTextsKernel } from '../../kernels/encoder/pool-texts.ts';
import { softmax } from './attention-answers.ts';
import { anyHalves, anyNumbers, bufferOf } from './known-values.ts';
import { dot } from './plain-math.ts';

/** Two texts, of which the first is more than a workgroup of 64 long. */
export const TEXTS = [67, 5];
export const TOKENS = 72;

/** Of each token its place, the row of its position, its text's first token and how many that has. */
export function tableOf(device: Device): GPUBuffer {
  const rows = TEXTS.flatMap((length, text) =>
    Array.from({ length }, (_, i) => [0, i, text === 0 ? 0 : (TEXTS[0] ?? 0), length]),
  );
  return bufferOf(device, Uint32Array.from(rows.flat()));
}

interface Case {
  name: string;
  kernel: (device: Device) => Kernel<{ tokens: number }>;
  bounds: Record<string, GPUBuffer>;
  /** What is bound as `result`, and what it begins with. */
  result: string;
  before: Float32Array<ArrayBuffer>;
  expected: ArrayLike<number>;
  row: number;
}

export function checkOf(device: Device, { name, kernel, bounds, result, before, expected, row }: Case): Check {
  const buffer = bufferOf(device, before);
  return {
    name,
    make() {
      const operation = createOperation(device, kernel(device), { ...bounds, [result]: buffer });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(buffer, 0, before);
        recorder.run(operation, operation.groups({ tokens: TOKENS }), { tokens: TOKENS });
      };
    },
    result: [{ buffer, offset: 0, size: expected.length * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected,
    row,
  };
}

/** Of each text alone; where heads have a reach, it is less than a text. */
export function attentionCheck(device: Device, heads: TextHeads): Check {
  const { numHeads, headDim, numKvHeads = numHeads, attentionScale = 1 / Math.sqrt(headDim), reach = TOKENS } = heads;
  const width = numHeads * headDim;
  const rowWidth = width + 2 * numKvHeads * headDim;
  const gain = 4 / (attentionScale * Math.sqrt(headDim));
  const qkv = anyHalves(TOKENS * rowWidth, anyNumbers()).map((value, i) =>
    i % rowWidth < width ? gain * value : value,
  );
  /** A head of queries, keys or values, which lie in this order. */
  const part = (token: number, head: number): Float32Array =>
    qkv.subarray(token * rowWidth + head * headDim, token * rowWidth + (head + 1) * headDim);
  const expected = new Float32Array(TOKENS * width);
  let first = 0;
  for (const length of TEXTS) {
    const own = Array.from({ length }, (_, i) => first + i);
    for (const token of own) {
      const seen = own.filter((other) => Math.abs(other - token) <= reach);
      for (let head = 0; head < numHeads; head++) {
        const key = numHeads + Math.floor((head * numKvHeads) / numHeads);
        const scores = seen.map((other) => dot(part(token, head), part(other, key)) * attentionScale);
        expected.set(
          softmax(
            scores,
            seen.map((other) => part(other, key + numKvHeads)),
          ).output,
          token * width + head * headDim,
        );
      }
    }
    first += length;
  }
  const bounds = { batch_table: tableOf(device), qkv: bufferOf(device, qkv) };
  return checkOf(device, {
    name: `attention-texts ${numHeads} × ${headDim}`,
    kernel: (one) => attentionTextsKernel(one, heads),
    bounds,
    result: 'y',
    before: new Float32Array(TOKENS * width),
    expected,
    row: headDim,
  });
}

export function poolCheck(device: Device, { hiddenSize: width }: { hiddenSize: number }): Check {
  const x = anyHalves(TOKENS * width, anyNumbers());
  const spans = Array.from({ length: TOKENS }, (_, i) => [i, Math.min(1 + (i % 3), TOKENS - i)] as const);
  const expected = spans.flatMap(([from, count]) =>
    Array.from(
      { length: width },
      (_, c) =>
        Array.from({ length: count }, (__, i) => x[(from + i) * width + c]!).reduce((sum, value) => sum + value, 0) /
        count,
    ),
  );
  const bounds = { spans: bufferOf(device, Uint32Array.from(spans.flat())), x: bufferOf(device, x) };
  const kernel = (one: Device): Kernel<{ tokens: number }> => {
    const pool = poolTextsKernel(one, width);
    return { ...pool, groups: ({ tokens }) => pool.groups({ texts: tokens }) };
  };
  return checkOf(device, {
    name: `pool-texts × ${width}`,
    kernel,
    bounds,
    result: 'pooled',
    before: new Float32Array(TOKENS * width),
    expected,
    row: width,
  });
}
