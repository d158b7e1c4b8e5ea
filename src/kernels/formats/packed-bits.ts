/** Bits of bytes, side by side: shaders/parts/packed-bits.wgsl. */
export const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The low nibbles of four bytes, side by side in 16 bits. */
function squeeze(word: number): number {
  let x = word & 0x0f0f0f0f;
  x = (x | (x >>> 4)) & 0x00ff00ff;
  return (x | (x >>> 8)) & 0xffff;
}

/** Eight nibbles of eight bytes from `at`: low ones for `shift` 0, high ones for 4. */
export const nibbles = (view: DataView, at: number, shift: number): number =>
  squeeze(view.getUint32(at, true) >>> shift) | (squeeze(view.getUint32(at + 4, true) >>> shift) << 16);

/** The lowest two bits of four bytes, side by side in 8 bits. */
export function lowPairs(word: number): number {
  let x = word & 0x03030303;
  x = (x | (x >>> 6)) & 0x000f000f;
  return (x | (x >>> 12)) & 0xff;
}

/** Bit pairs `r` of sixteen bytes from `at`. */
export function sixteenPairs(view: DataView, at: number, r: number): number {
  let word = 0;
  for (let i = 0; i < 4; i++) word |= lowPairs(view.getUint32(at + 4 * i, true) >>> (2 * r)) << (8 * i);
  return word;
}
