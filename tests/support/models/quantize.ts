import { floatToBfloat16, floatToHalf, halfToFloat } from '../../../src/reference/half.ts';
import { GGML_TYPES } from '../../../src/weights/ggml-types.ts';
import type { GgmlType } from '../../../src/weights/ggml-types.ts';
import type { Random } from '../random.ts';

/** Encodes one block of values at byte `at`. */
type BlockEncoder = (values: Float32Array, view: DataView, at: number) => void;

/** Values in a tensor type's blocks: round to nearest, no search for the best scale. */
export function quantize(type: GgmlType, values: Float32Array): Uint8Array {
  const { blockSize, blockBytes } = GGML_TYPES[type];
  const numBlocks = values.length / blockSize;
  if (!Number.isInteger(numBlocks)) throw new RangeError(`${values.length} values are no whole ${type} blocks`);
  const bytes = new Uint8Array(numBlocks * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < numBlocks; block++) {
    ENCODERS[type](values.subarray(block * blockSize, (block + 1) * blockSize), view, block * blockBytes);
  }
  return bytes;
}

/** Where each type keeps its half-precision scales, in bytes from the block's start. */
const HALVES: Partial<Record<GgmlType, number[]>> = {
  Q4_0: [0],
  Q4_1: [0, 2],
  Q5_0: [0],
  Q5_1: [0, 2],
  Q8_0: [0],
  Q4_K: [0, 2],
  Q5_K: [0, 2],
  Q6_K: [208],
};

/** Blocks of random bits, whose scales and minima have either sign: every code and sub-scale occurs. */
export function randomBlocks(type: GgmlType, numBlocks: number, random: Random): Uint8Array {
  const halves = HALVES[type];
  if (halves === undefined) throw new RangeError(`${type} has no blocks`);
  const { blockBytes } = GGML_TYPES[type];
  const bytes = Uint8Array.from({ length: numBlocks * blockBytes }, () => random.below(256));
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < numBlocks; block++) {
    for (const at of halves) view.setUint16(block * blockBytes + at, floatToHalf(0.02 * random.normal()), true);
  }
  return bytes;
}

const ENCODERS: Record<GgmlType, BlockEncoder> = {
  F32: (values, view, at) => view.setFloat32(at, values[0] ?? 0, true),
  F16: (values, view, at) => view.setUint16(at, floatToHalf(values[0] ?? 0), true),
  BF16: (values, view, at) => view.setUint16(at, floatToBfloat16(values[0] ?? 0), true),
  Q4_0: (values, view, at) => {
    const d = putHalf(view, at, largest(values) / -8);
    setNibbles(view, at + 2, codes(values, d, 0, [-8, 7], 8));
  },
  Q4_1: (values, view, at) => {
    const { low, high } = range(values);
    const d = putHalf(view, at, (high - low) / 15);
    const m = putHalf(view, at + 2, low);
    setNibbles(view, at + 4, codes(values, d, m, [0, 15]));
  },
  Q5_0: (values, view, at) => {
    const d = putHalf(view, at, largest(values) / -16);
    const q = codes(values, d, 0, [-16, 15], 16);
    view.setUint32(at + 2, fifthBits(q), true);
    setNibbles(view, at + 6, q);
  },
  Q5_1: (values, view, at) => {
    const { low, high } = range(values);
    const d = putHalf(view, at, (high - low) / 31);
    const m = putHalf(view, at + 2, low);
    const q = codes(values, d, m, [0, 31]);
    view.setUint32(at + 4, fifthBits(q), true);
    setNibbles(view, at + 8, q);
  },
  Q8_0: (values, view, at) => {
    const d = putHalf(view, at, Math.abs(largest(values)) / 127);
    codes(values, d, 0, [-127, 127]).forEach((q, i) => view.setInt8(at + 2 + i, q));
  },
  Q4_K: (values, view, at) => {
    encodeGroups(values, view, at, 15).forEach((q, group) => setGroupNibbles(view, at + 16, group, q));
  },
  Q5_K: (values, view, at) => {
    encodeGroups(values, view, at, 31).forEach((q, group) => {
      setGroupNibbles(view, at + 48, group, q);
      q.forEach((code, i) => orByte(view, at + 16 + i, (code >> 4) << group));
    });
  },
  Q6_K: (values, view, at) => {
    const scales = Array.from({ length: 16 }, (_, i) => largest(values.subarray(16 * i, 16 * i + 16)) / -32);
    const d = putHalf(view, at + 208, Math.max(...scales.map(Math.abs)) / 127);
    scales.forEach((wanted, i) => {
      const scale = d === 0 ? 0 : Math.round(wanted / d);
      view.setInt8(at + 192 + i, scale);
      codes(values.subarray(16 * i, 16 * i + 16), d * scale, 0, [-32, 31], 32).forEach((q, k) => {
        const element = 16 * i + k;
        const quarter = (element >> 5) & 3;
        const low = 64 * (element >> 7) + 32 * (quarter & 1) + (element & 31);
        orByte(view, at + low, (q & 15) << (quarter < 2 ? 0 : 4));
        orByte(view, at + 128 + 32 * (element >> 7) + (element & 31), (q >> 4) << (2 * quarter));
      });
    });
  },
};

/** Writes d, dmin and the packed 6-bit scales and minima of Q4_K and Q5_K; returns the codes of the 8 groups. */
function encodeGroups(values: Float32Array, view: DataView, at: number, top: number): number[][] {
  const groups = Array.from({ length: 8 }, (_, i) => values.subarray(32 * i, 32 * i + 32));
  const lows = groups.map((group) => Math.min(0, range(group).low));
  const steps = groups.map((group, i) => (range(group).high - (lows[i] ?? 0)) / top);
  const d = putHalf(view, at, Math.max(...steps) / 63);
  const dmin = putHalf(view, at + 2, Math.max(...lows.map((low) => -low)) / 63);
  return groups.map((group, i) => {
    const scale = d === 0 ? 0 : Math.min(63, Math.max(0, Math.round((steps[i] ?? 0) / d)));
    const min = dmin === 0 ? 0 : Math.min(63, Math.round(-(lows[i] ?? 0) / dmin));
    if (i < 4) {
      orByte(view, at + 4 + i, scale);
      orByte(view, at + 8 + i, min);
    } else {
      orByte(view, at + 8 + i, (scale & 15) | ((min & 15) << 4));
      orByte(view, at + i, (scale >> 4) << 6);
      orByte(view, at + 4 + i, (min >> 4) << 6);
    }
    return codes(group, d * scale, -dmin * min, [0, top]);
  });
}

/** round((v − base) / step) clamped to [low, high], plus `bias`. */
function codes(values: Float32Array, step: number, base: number, [low, high]: readonly [number, number], bias = 0): number[] {
  return Array.from(values, (value) => {
    const q = step === 0 ? 0 : Math.round((value - base) / step);
    return Math.min(high, Math.max(low, q)) + bias;
  });
}

/** Writes a half and returns the value it holds. */
function putHalf(view: DataView, at: number, value: number): number {
  const bits = floatToHalf(value);
  view.setUint16(at, bits, true);
  return halfToFloat(bits);
}

function orByte(view: DataView, at: number, byte: number): void {
  view.setUint8(at, view.getUint8(at) | byte);
}

function setNibbles(view: DataView, at: number, q: number[]): void {
  q.forEach((code, i) => orByte(view, at + (i & 15), (code & 15) << (i < 16 ? 0 : 4)));
}

function setGroupNibbles(view: DataView, at: number, group: number, q: number[]): void {
  q.forEach((code, i) => orByte(view, at + 32 * (group >> 1) + i, (code & 15) << (group & 1 ? 4 : 0)));
}

function fifthBits(q: number[]): number {
  return q.reduce((bits, code, i) => bits + (code >> 4) * 2 ** i, 0);
}

function range(values: Float32Array): { low: number; high: number } {
  return { low: Math.min(...values), high: Math.max(...values) };
}

/** The value of largest magnitude, with its sign. */
function largest(values: Float32Array): number {
  return values.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
}
