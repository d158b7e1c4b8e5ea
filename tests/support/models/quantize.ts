import { floatToBfloat16, floatToHalf, halfToFloat } from '../../reference/half.ts';
import { GGML_TYPES } from '../../../src/weights/ggml-types.ts';
import type { GgmlType } from '../../../src/weights/ggml-types.ts';
import { gridSize } from '../../reference/iq3-grid.ts';
import { nonLinear } from '../../reference/dequantize.ts';
import type { Random } from '../random.ts';
import { FLOATS } from './poisoned.ts';

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

/** Blocks of random bits, whose scales and minima have either sign: every code and sub-scale occurs. */
export function randomBlocks(type: GgmlType, numBlocks: number, random: Random): Uint8Array {
  const { blockBytes, blockSize } = GGML_TYPES[type];
  if (blockSize === 1) throw new RangeError(`${type} has no blocks`);
  const { kind, at: places } = FLOATS[type];
  const bytes = Uint8Array.from({ length: numBlocks * blockBytes }, () => random.below(256));
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < numBlocks; block++) {
    for (const at of places) {
      if (kind === 'E8M0') view.setUint8(block * blockBytes + at, 118 + random.below(5));
      else view.setUint16(block * blockBytes + at, floatToHalf(0.02 * random.normal()), true);
    }
  }
  return bytes;
}

const ENCODERS: Record<GgmlType, BlockEncoder> = {
  F32: (values, view, at) => view.setFloat32(at, values[0] ?? 0, true),
  F16: (values, view, at) => view.setUint16(at, floatToHalf(values[0] ?? 0), true),
  BF16: (values, view, at) => view.setUint16(at, floatToBfloat16(values[0] ?? 0), true),
  Q1_0: (values, view, at) => {
    putHalf(view, at, values.reduce((sum, value) => sum + Math.abs(value), 0) / 128);
    values.forEach((value, i) => orByte(view, at + 2 + (i >> 3), Number(value > 0) << (i & 7)));
  },
  Q2_0: (values, view, at) => {
    const d = putHalf(view, at, Math.abs(largest(values)));
    codes(values, d, 0, [-1, 1], 1).forEach((q, i) => orByte(view, at + 2 + (i >> 2), q << (2 * (i & 3))));
  },
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
  IQ4_NL: (values, view, at) => {
    const d = putHalf(view, at, largest(values) / -127);
    setNibbles(view, at + 2, nearest(values, d, NON_LINEAR));
  },
  MXFP4: (values, view, at) => {
    const exponent = Math.max(0, Math.floor(Math.log2(Math.abs(largest(values)) || 2 ** -125)) + 125);
    view.setUint8(at, exponent);
    setNibbles(view, at + 1, nearest(values, 2 ** (exponent - 128), FLOAT4));
  },
  Q2_K: (values, view, at) => {
    const groups = groupsOf(values, 16);
    const lows = groups.map((group) => Math.min(0, range(group).low));
    const steps = groups.map((group, i) => (range(group).high - (lows[i] ?? 0)) / 3);
    const d = putHalf(view, at + 80, Math.max(...steps) / 15);
    const dmin = putHalf(view, at + 82, -Math.min(...lows) / 15);
    groups.forEach((group, i) => {
      const scale = d === 0 ? 0 : Math.min(15, Math.max(0, Math.round((steps[i] ?? 0) / d)));
      const min = dmin === 0 ? 0 : Math.min(15, Math.round(-(lows[i] ?? 0) / dmin));
      view.setUint8(at + i, scale | (min << 4));
      codes(group, d * scale, -dmin * min, [0, 3]).forEach((q, k) => setPair(view, at + 16, 16 * i + k, q));
    });
  },
  Q3_K: (values, view, at) => {
    const groups = groupsOf(values, 16);
    const scales = groups.map((group) => largest(group) / -4);
    const d = putHalf(view, at + 108, Math.max(...scales.map(Math.abs)) / 31);
    groups.forEach((group, i) => {
      const scale = d === 0 ? 0 : Math.round((scales[i] ?? 0) / d);
      orByte(view, at + 96 + (i % 8), ((scale + 32) & 15) << (i < 8 ? 0 : 4));
      orByte(view, at + 104 + (i % 4), ((scale + 32) >> 4) << (2 * (i >> 2)));
      codes(group, d * scale, 0, [-4, 3], 4).forEach((q, k) => {
        const element = 16 * i + k;
        setPair(view, at + 32, element, q & 3);
        orByte(view, at + (element % 32), (q >> 2) << (element >> 5));
      });
    });
  },
  IQ4_XS: (values, view, at) => {
    const groups = groupsOf(values, 32);
    const scales = groups.map((group) => largest(group) / -127);
    const d = putHalf(view, at, Math.max(...scales.map(Math.abs)) / 31);
    groups.forEach((group, i) => {
      const scale = d === 0 ? 0 : Math.round((scales[i] ?? 0) / d);
      orByte(view, at + 4 + (i >> 1), ((scale + 32) & 15) << (4 * (i & 1)));
      orByte(view, at + 2 + (i >> 2), ((scale + 32) >> 4) << (2 * (i & 3)));
      setNibbles(view, at + 8 + 16 * i, nearest(group, d * scale, NON_LINEAR));
    });
  },
  IQ3_XXS: (values, view, at) => {
    const groups = groupsOf(values, 32);
    const scales = groups.map((group) => Math.abs(largest(group)) / 62);
    const d = putHalf(view, at, Math.max(...scales) / 7.75);
    groups.forEach((group, i) => {
      const scale = d === 0 ? 0 : Math.min(15, Math.max(0, Math.round((2 * (scales[i] ?? 0)) / d - 0.5)));
      const signs = groupsOf(group, 8).map(evenSigns);
      const word = signs.reduce((bits, negatives, k) => bits + (negatives & 127) * 2 ** (7 * k), scale * 2 ** 28);
      view.setUint32(at + 66 + 4 * i, word, true);
      groupsOf(group, 4).forEach((four, k) => {
        const sizes = four.map((value, e) => (((signs[k >> 1] ?? 0) >> (4 * (k & 1) + e)) & 1 ? -value : value));
        view.setUint8(at + 2 + 8 * i + k, nearestOfGrid(sizes, (d * (0.5 + scale)) / 2));
      });
    });
  },
  TQ1_0: (values, view, at) => {
    const d = putHalf(view, at + 52, Math.abs(largest(values)));
    const q = codes(values, d, 0, [-1, 1], 1);
    const put = (byte: number, digits: number[]): void =>
      view.setUint8(
        at + byte,
        Math.ceil((digits.reduce((sum, digit, n) => sum + digit * 3 ** (4 - n), 0) * 256) / 243),
      );
    const column = (start: number, step: number, count: number): number[] =>
      Array.from({ length: count }, (_, n) => q[start + step * n] ?? 0);
    for (let k = 0; k < 32; k++) put(k, column(k, 32, 5));
    for (let k = 0; k < 16; k++) put(32 + k, column(160 + k, 16, 5));
    for (let k = 0; k < 4; k++) put(48 + k, column(240 + k, 4, 4));
  },
  TQ2_0: (values, view, at) => {
    const d = putHalf(view, at + 64, Math.abs(largest(values)));
    codes(values, d, 0, [-1, 1], 1).forEach((q, i) => setPair(view, at, i, q));
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
function codes(
  values: Float32Array,
  step: number,
  base: number,
  [low, high]: readonly [number, number],
  bias = 0,
): number[] {
  return Array.from(values, (value) => {
    const q = step === 0 ? 0 : Math.round((value - base) / step);
    return Math.min(high, Math.max(low, q)) + bias;
  });
}

const FLOAT4 = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
const NON_LINEAR = Array.from({ length: 16 }, (_, code) => nonLinear(code));
const GRID = Float32Array.from({ length: 1024 }, (_, i) => gridSize(i >> 2, i & 3));

/** The codes whose value in `table`, times `step`, is nearest. */
const nearest = (values: Float32Array, step: number, table: readonly number[]): number[] =>
  Array.from(values, (value) => {
    let best = 0;
    for (let code = 1; code < 16; code++)
      if (Math.abs(table[code]! * step - value) < Math.abs(table[best]! * step - value)) best = code;
    return best;
  });

/** The byte of IQ3_XXS whose four magnitudes, times `step`, are nearest. */
function nearestOfGrid(sizes: Float32Array, step: number): number {
  let best = 0;
  let least = Infinity;
  for (let byte = 0; byte < 256; byte++) {
    let off = 0;
    for (let k = 0; k < 4; k++) off += (GRID[4 * byte + k]! * step - sizes[k]!) ** 2;
    if (off >= least) continue;
    best = byte;
    least = off;
  }
  return best;
}

/** Sign bits of eight values; if their number is odd, the sign of the smallest magnitude flips. */
function evenSigns(values: Float32Array): number {
  const bits = values.reduce((sum, value, k) => sum + (value < 0 ? 1 << k : 0), 0);
  const isOdd = values.filter((value) => value < 0).length % 2 === 1;
  const sizes = Array.from(values, Math.abs);
  return isOdd ? bits ^ (1 << sizes.indexOf(Math.min(...sizes))) : bits;
}

const groupsOf = (values: Float32Array, size: number): Float32Array[] =>
  Array.from({ length: values.length / size }, (_, i) => values.subarray(size * i, size * (i + 1)));

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

/** Element `i` of 256 in 64 bytes. */
function setPair(view: DataView, at: number, i: number, q: number): void {
  orByte(view, at + 32 * (i >> 7) + (i % 32), q << (2 * ((i >> 5) % 4)));
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
