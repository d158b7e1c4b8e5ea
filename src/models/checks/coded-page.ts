import type { ModelConfig } from '../../config/model-config.ts';
import { CODE_BITS, type QuantizedForm } from '../../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { anyNumbers } from './known-values.ts';
import { rotatedValue } from './plain-math.ts';

/** Keys, then values, `[numKvHeads, entries]` each. */
export type PageContents = Float32Array[];

/** Of values' codes: numbers from a bell curve of standard deviation 1 over this are nearest to them; see quantize-page.wgsl. */
const BELL_STEPS: Record<number, number> = { 2: 0.9957, 3: 0.586, 4: 0.3352 };

/** What a form keeps, nearly, in which all of its codes stand: each number is what a code stands for. */
export function codedPage({ numKvHeads, headDim }: ModelConfig, form: QuantizedForm, seed: number): PageContents {
  const { key, value } = CODE_BITS[form];
  const next = anyNumbers();
  for (let i = 0; i < seed; i++) next();
  return Array.from({ length: 2 * numKvHeads * PAGE_TOKENS }, (_, i) => {
    const token = i % PAGE_TOKENS;
    if (i < numKvHeads * PAGE_TOKENS)
      return Float32Array.from({ length: headDim }, (__, c) => keyOf(c, token, { bits: key, headDim, next }));
    return rotatedValue(
      codedValue(token, { bits: value, headDim, next }).map((number) => number * (0.5 + (token % 3) / 8)),
    );
  });
}

interface Coded {
  bits: number;
  headDim: number;
  next: () => number;
}

/** Channels lie by eights, of which some vary more than others, and have other codes. The first two tokens are a channel's ends. */
function keyOf(channel: number, token: number, { bits, headDim, next }: Coded): number {
  const eights = headDim / 8;
  const eight = Math.floor(channel / 4) % eights;
  const rank = eight % 2 === 0 ? eight / 2 : eights - (eight + 1) / 2;
  const largest = 2 ** (bits === 8 ? bits : bits + wider(rank, eights)) - 1;
  const code = token < 2 ? token * largest : Math.floor(next() * (largest + 1));
  return -0.75 + (channel % 3) / 8 + (1.5 - rank / eights) * (code / largest);
}

/** One bit more of the sixteens of channels that vary most, one less of those that vary least; a quarter each. */
function wider(rank: number, eights: number): number {
  const sixteens = Math.floor(eights / 2);
  const quarter = Math.floor(sixteens / 4);
  const place = Math.floor(rank / 2);
  return Number(place < quarter) - Number(place >= sixteens - quarter);
}

/** As it lies in its page: codes from their middle, of 8 bits all alike, of fewer as on a bell curve; in any order. */
function codedValue(token: number, { bits, headDim, next }: Coded): Float32Array {
  const largest = 2 ** bits - 1;
  const step = BELL_STEPS[bits] ?? 2 / largest;
  const offset = (token + 0.5) / PAGE_TOKENS;
  const shares = Array.from({ length: largest + 1 }, (_, code) =>
    bits === 8 ? 1 : Math.exp(-(((code - largest / 2) * step) ** 2) / 2),
  );
  const whole = shares.reduce((sum, share) => sum + share, 0);
  const value = new Float32Array(headDim);
  let [code, below] = [0, 0];
  for (let i = 0; i < headDim; i++) {
    while (code < largest && below + shares[code]! < ((i + offset) / headDim) * whole) below += shares[code++]!;
    const place = Math.floor(next() * (i + 1));
    value[i] = value[place]!;
    value[place] = (code - largest / 2) * step;
  }
  return value;
}
