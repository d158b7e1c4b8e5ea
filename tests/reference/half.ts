const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** The value of IEEE 754 binary16 bits. */
export const halfToFloat = (half: number): number => HALVES[half & 0xffff]!;

/** The values of all halves: tests decode millions. */
const HALVES = Float64Array.from({ length: 1 << 16 }, (_, half) => valueOf(half));

function valueOf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The binary16 bits nearest to `value`, ties to even. */
export function floatToHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const size = Math.abs(value);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00; // halfway between the largest half and 2^16
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24); // 1024 here is the first normal number
  const exponent = floorLog2(size);
  // A fraction that rounds up to 2048 carries into the exponent, as it should.
  return sign | (((exponent + 14) << 10) + roundToEven(size * 2 ** (10 - exponent)));
}

/** The value of bfloat16 bits: the upper half of a float32. */
export function bfloat16ToFloat(bfloat: number): number {
  bits[0] = bfloat << 16;
  return float[0] ?? 0;
}

/** The bfloat16 bits nearest to `value`, ties to even. */
export function floatToBfloat16(value: number): number {
  float[0] = value;
  const word = bits[0] ?? 0;
  if (Number.isNaN(value)) return 0x7fc0;
  return ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The exponent of a number that is normal in float32. */
function floorLog2(value: number): number {
  float[0] = value;
  const word = bits[0] ?? 0;
  // A value just below a power of two may round up to it in float32.
  const exponent = (word >>> 23) - 127;
  return float[0] > value && (word & 0x7fffff) === 0 ? exponent - 1 : exponent;
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
