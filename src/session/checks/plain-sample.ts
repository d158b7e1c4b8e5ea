import { mixedBits } from '../../util/numbers.ts';

/** How a sample is made; see shaders/sampling/sample-token.wgsl. */
export interface PlainSample {
  temperature: number;
  minP: number;
  seed: number;
  position: number;
}

/** Logits of some tokens, or of all. */
export interface Logits {
  forEach(each: (logit: number, token: number) => void): void;
}

/** The sampled token, and its margin: margins within rounding decide nothing. */
export function sampledToken(
  logits: Logits,
  { temperature, minP, seed, position }: PlainSample,
): { token: number; margin: number } {
  let largest = -Infinity;
  logits.forEach((logit) => (largest = Math.max(largest, logit)));
  const least = Math.log(minP);
  const stream = mixedBits(seed ^ mixedBits(position + 0x9e3779b9));
  let [token, best, second] = [0, -Infinity, -Infinity];
  logits.forEach((logit, i) => {
    const scaled = (logit - largest) / temperature;
    if (scaled < least) return;
    const uniform = ((mixedBits(stream ^ mixedBits(i + 0x7f4a7c15)) >>> 1) + 0.5) / 2 ** 31;
    const score = scaled - Math.log(-Math.log1p(-uniform));
    second = Math.max(second, Math.min(score, best));
    if (score > best) [token, best] = [i, score];
  });
  return { token, margin: best - second };
}
