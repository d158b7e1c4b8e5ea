import { type ModelConfig, windowOfLayer } from '../../config/model-config.ts';
import { ropeTable } from '../rope-table.ts';
import { anyHalves, anyNumbers } from './known-values.ts';
import { dot, rmsNormed } from './plain-math.ts';

/** Of scores, about: queries that see all keys alike would not tell one from another. */
const LOUD = 2;

/** What a layer's attention begins with. */
export interface AttentionInputs {
  /** `[tokens, (numHeads + 2 numKvHeads) headDim]` */
  qkv: Float32Array<ArrayBuffer>;
  rope: Float32Array<ArrayBuffer>;
  /** Of queries and keys, where they are normed. */
  queryNorm: Float32Array<ArrayBuffer>;
  keyNorm: Float32Array<ArrayBuffer>;
}

export function attentionInputs(config: ModelConfig, tokens: number): AttentionInputs {
  const { numHeads, numKvHeads, headDim, qkNorm } = config;
  const next = anyNumbers();
  const width = (numHeads + 2 * numKvHeads) * headDim;
  const gain = LOUD / (scaleOf(config, 0)(0) * Math.sqrt(headDim));
  const qkv = anyHalves(tokens * width, next).map((value, i) =>
    !qkNorm && i % width < numHeads * headDim ? gain * value : value,
  );
  const queryNorm = anyHalves(headDim, next).map((weight) => gain * weight);
  return { qkv, rope: ropeTable(config, tokens), queryNorm, keyNorm: anyHalves(headDim, next) };
}

/** Keys as they lie in pages of so many tokens, and values: `[2, tokens, numKvHeads, headDim]`. */
export function keysAndValues(config: ModelConfig, inputs: AttentionInputs, pageTokens: number): Float32Array[] {
  const { numHeads, numKvHeads } = config;
  const heads = headsOf(config, inputs.qkv);
  const tokens = heads.length / (numHeads + 2 * numKvHeads);
  const ones = new Float32Array(config.headDim).fill(1);
  const all = Array.from({ length: 2 * tokens * numKvHeads }, (_, i): Float32Array => {
    const [token, head] = [Math.floor(i / numKvHeads) % tokens, i % numKvHeads];
    const at = token * (numHeads + 2 * numKvHeads) + numHeads + head;
    if (i >= tokens * numKvHeads)
      return config.valueNorm ? rmsNormed(heads[at + numKvHeads]!, ones, config.rmsNormEps) : heads[at + numKvHeads]!;
    return turned(normed(config, heads[at]!, inputs.keyNorm), inputs.rope, token % pageTokens);
  });
  return all;
}

/** `[tokens, numHeads headDim]`, by the tokens' own positions; of the model's first layer. */
export function attended(config: ModelConfig, inputs: AttentionInputs): Float32Array {
  const { numHeads, numKvHeads, headDim } = config;
  const heads = headsOf(config, inputs.qkv);
  const width = numHeads + 2 * numKvHeads;
  const tokens = heads.length / width;
  const stored = keysAndValues(config, inputs, tokens);
  const all = new Float32Array(tokens * numHeads * headDim);
  for (let token = 0; token < tokens; token++) {
    for (let head = 0; head < numHeads; head++) {
      const scale = scaleOf(config, token);
      const query = turned(normed(config, heads[token * width + head]!, inputs.queryNorm), inputs.rope, token).map(
        (value, i) => value * scale(i),
      );
      const own = stored.filter((_, i) => i % numKvHeads === Math.floor((head * numKvHeads) / numHeads));
      const first = Math.max(0, token + 1 - (windowOfLayer(config, 0) ?? Infinity));
      const { output } = softmax(
        own.slice(first, token + 1).map((key) => dot(query, key)),
        own.slice(tokens + first),
      );
      all.set(output, (token * numHeads + head) * headDim);
    }
  }
  return all;
}

/** The values' mean by their scores' exponentials, and the weight of each. */
export function softmax(
  scores: readonly number[],
  values: readonly Float32Array[],
): { output: Float32Array; weights: number[] } {
  const powers = scores.map((score) => Math.exp(score));
  const sum = powers.reduce((total, power) => total + power, 0);
  const output = new Float32Array(values[0]!.length);
  powers.forEach((power, past) => values[past]!.forEach((value, i) => (output[i]! += (power / sum) * value)));
  return { output, weights: powers.map((power) => power / sum) };
}

/** What the i-th component of a query at `position`, rotated, is multiplied by. */
export function scaleOf(config: ModelConfig, position: number): (i: number) => number {
  const {
    headDim,
    attentionScale = 1 / Math.sqrt(headDim),
    rotaryDim = headDim,
    rotaryScale = 1,
    temperature,
  } = config;
  const scale =
    attentionScale * (temperature ? 1 + temperature.beta * Math.log(1 + Math.floor(position / temperature.tokens)) : 1);
  return (i) => (i % (headDim / 2) < rotaryDim / 2 ? scale * rotaryScale ** 2 : scale);
}

/** By the cosines and sines of a position, which are a row of the table. */
export function turned(x: Float32Array, rope: Float32Array, position: number): Float32Array {
  const half = x.length / 2;
  const row = rope.subarray(position * x.length, (position + 1) * x.length);
  return x.map((value, i) =>
    i < half ? value * row[i]! - x[half + i]! * row[half + i]! : value * row[i - half]! + x[i - half]! * row[i]!,
  );
}

const normed = ({ qkNorm, rmsNormEps }: ModelConfig, x: Float32Array, weight: Float32Array): Float32Array =>
  qkNorm ? rmsNormed(x, weight, rmsNormEps) : x;

function headsOf({ headDim }: ModelConfig, qkv: Float32Array): Float32Array[] {
  return Array.from({ length: qkv.length / headDim }, (_, i) => qkv.subarray(i * headDim, (i + 1) * headDim));
}
