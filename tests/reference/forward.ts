import {
  configOfLayer,
  type Experts,
  hasExperts,
  keyLayerOf,
  type ModelConfig,
} from '../../src/config/model-config.ts';
import { deltaNet } from './delta-net.ts';
import type { ReferenceModel } from './model.ts';
import { ACTIVATIONS, add, addVector, dot, matmul, norm, type Rows, scaled, softmax } from './operations.ts';
import { layerInputs, withLayerInput } from './per-layer-inputs.ts';
import { rotate } from './rope.ts';

/** A tensor of the current layer. */
type Tensor = (name: string) => Float32Array;

/** Rotates a head to its position. */
type Placed = (head: Float64Array, position: number) => Float64Array;

/**
 * The forward pass of a decoder-only transformer as published (Llama: arXiv 2302.13971; Qwen2: 2407.10671;
 * Qwen3: 2505.09388), in f64: no cache, no pages, rotation at absolute positions, every score at once.
 * tokens `[T]` → logits `[T, vocabSize]`.
 */
export function forward(model: ReferenceModel, tokens: readonly number[]): Rows {
  const { config, tensors } = model;
  const output = tensors.get(config.tiedEmbeddings ? 'token_embd.weight' : 'output.weight');
  const logits = scaled(matmul(finalStates(model, tokens), output ?? new Float32Array()), 1 / config.logitDivisor);
  const cap = config.logitCap;
  return cap === undefined ? logits : logits.map((row) => row.map((logit) => cap * Math.tanh(logit / cap)));
}

/** Hidden states after the final norm: tokens `[T]` → `[T, hiddenSize]`. */
export const finalStates = (model: ReferenceModel, tokens: readonly number[]): Rows =>
  throughLayers(model, tokens, embeddingsOf(model, tokens));

export function embeddingsOf({ config, tensors }: ReferenceModel, tokens: readonly number[]): Rows {
  const { hiddenSize, embeddingScale } = config;
  const embeddings = tensors.get('token_embd.weight') ?? new Float32Array();
  return scaled(
    tokens.map((id) => Float64Array.from(embeddings.subarray(id * hiddenSize, (id + 1) * hiddenSize))),
    embeddingScale,
  );
}

/** The same, from the input of the first layer, `x [T, hiddenSize]`. */
export function throughLayers({ config, tensors }: ReferenceModel, tokens: readonly number[], x: Rows): Rows {
  const { numLayers, rmsNormEps, residualScale, unrotatedLayers } = config;
  const tensor: Tensor = (name) => {
    const values = tensors.get(name);
    if (values === undefined) throw new Error(`no tensor ${name}`);
    return values;
  };
  const isShort = tokens.length <= (config.shortContext ?? 0); // as if the context had the length of this text
  const divisors = tensors.get(
    config.shortContext === undefined ? 'rope_freqs.weight' : `rope_factors_${isShort ? 'short' : 'long'}.weight`,
  );
  const inputs = config.perLayerInputs === undefined ? undefined : layerInputs({ config, tensors }, tokens, x);
  const keptKeys: KeysAndValues[] = [];
  for (let layer = 0; layer < numLayers; layer++) {
    const own: Tensor = (name) => tensor(`blk.${layer}.${name}`);
    const window = config.window?.layers.includes(layer) ? config.window : undefined;
    const sizes = configOfLayer(config, layer);
    const isOwnRope = window?.ropeTheta !== undefined;
    const rope = isOwnRope ? { ...sizes, ropeTheta: window.ropeTheta as number, ropeLinearScale: undefined } : sizes;
    // If windowed layers have their own base frequency, divisors apply only to full-attention layers.
    const ownDivisors = isOwnRope ? undefined : divisors;
    const placed: Placed = unrotatedLayers.includes(layer)
      ? (head) => head
      : (head, position) => rotate(rope, head, position, ownDivisors);
    const after = (rows: Rows, name: string): Rows => (config.postNorms ? norm(rows, own(name), rmsNormEps) : rows);
    const input = norm(x, own('attn_norm.weight'), rmsNormEps);
    const attend = (): Rows => {
      const source = keyLayerOf(config, layer);
      if (source === layer) keptKeys[layer] = keysAndValues(sizes, own, input, placed);
      return attention(sizes, own, input, {
        placed,
        reach: window?.tokens ?? Infinity,
        ...(keptKeys[source] as KeysAndValues),
      });
    };
    const net = config.deltaNet?.layers.includes(layer) ? config.deltaNet : undefined;
    const mixed = net ? deltaNet(net, own, input, rmsNormEps) : undefined;
    const attended =
      mixed ?? (config.convolution?.layers.includes(layer) ? convolved(own, input, config.convolution.taps) : attend());
    x = add(x, after(scaled(attended, residualScale), 'post_attention_norm.weight'));
    const normed = norm(
      x,
      own(config.architecture === 'qwen35' ? 'post_attention_norm.weight' : 'ffn_norm.weight'),
      rmsNormEps,
    );
    const made =
      config.experts && hasExperts(config, layer)
        ? mixture(config, config.experts, own, normed)
        : mlp(config, own, normed);
    x = add(x, after(scaled(made, residualScale), 'post_ffw_norm.weight'));
    if (inputs) x = withLayerInput(config, (name) => tensors.get(`blk.${layer}.${name}`), x, inputs[layer] as Rows);
  }
  return norm(
    x,
    tensor(config.architecture.startsWith('lfm2') ? 'token_embd_norm.weight' : 'output_norm.weight'),
    rmsNormEps,
  );
}

/** Keys and values of each token, by head. */
interface KeysAndValues {
  keys: Rows[];
  values: Rows[];
}

/** x `[T, hiddenSize]` → `[T, heads, headDim]` of q or k, normed and rotated. */
const headsOf = (config: ModelConfig, own: Tensor, x: Rows, part: 'q' | 'k', placed: Placed): Rows[] =>
  queriesOrKeys(config, project(config, own, x, part), part).map((heads, t) =>
    normed(config, own, heads, part).map((head) => placed(head, t)),
  );

function keysAndValues(config: ModelConfig, own: Tensor, x: Rows, placed: Placed): KeysAndValues {
  const values = project(config, own, x, 'v');
  const ones = new Float32Array(config.headDim).fill(1);
  return {
    keys: headsOf(config, own, x, 'k', placed),
    values: config.valueNorm ? values.map((heads) => norm(heads, ones, config.rmsNormEps)) : values,
  };
}

/** x `[T, hiddenSize]` → `[T, hiddenSize]`; each token sees the latest `reach` tokens, itself included. */
function attention(
  config: ModelConfig,
  own: Tensor,
  x: Rows,
  { placed, reach, keys, values }: KeysAndValues & { placed: Placed; reach: number },
): Rows {
  const { numHeads, numKvHeads, headDim, attentionScale = 1 / Math.sqrt(headDim), temperature } = config;
  const queries = headsOf(config, own, x, 'q', placed);
  const gates = config.gatesAttention
    ? project(config, own, x, 'q').map((heads) => heads.filter((_, i) => i % 2 === 1))
    : undefined;
  const attended = queries.map((heads, position) => {
    const output = new Float64Array(numHeads * headDim);
    const scale =
      attentionScale *
      (temperature ? 1 + temperature.beta * Math.log(1 + Math.floor(position / temperature.tokens)) : 1);
    heads.forEach((query, head) => {
      const kvHead = Math.floor(head / (numHeads / numKvHeads));
      const scores = Float64Array.from({ length: position + 1 }, (_, t) =>
        position - t < reach ? dot(query, keys[t]?.[kvHead] ?? []) : -Infinity,
      );
      softmax(scores.map((score) => score * scale)).forEach((weight, t) => {
        const value = values[t]?.[kvHead];
        for (let i = 0; i < headDim; i++) output[head * headDim + i]! += weight * (value?.[i] ?? 0);
      });
      gates?.[position]?.[head]?.forEach((gate, i) => (output[head * headDim + i]! /= 1 + Math.exp(-gate)));
    });
    return output;
  });
  return matmul(attended, own('attn_output.weight'));
}

/** x `[T, hiddenSize]` → `[T, hiddenSize]`: a causal depthwise convolution between two gates. */
function convolved(own: Tensor, x: Rows, taps: number): Rows {
  const weights = own('shortconv.conv.weight');
  const parts = matmul(x, own('shortconv.in_proj.weight')).map((row) =>
    [0, 1, 2].map((part) => row.subarray((part * row.length) / 3, ((part + 1) * row.length) / 3)),
  );
  const taken = parts.map(([gate, , input]) => input!.map((value, i) => value * gate![i]!));
  const outputs = parts.map(([, gate], t) =>
    gate!.map((value, i) => {
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += weights[i * taps + tap]! * (taken[t - (taps - 1) + tap]?.[i] ?? 0);
      return value * sum;
    }),
  );
  return matmul(outputs, own('shortconv.out_proj.weight'));
}

/** x `[T, hiddenSize]` → `[T, heads, headDim]` of q, k or v */
function project({ qkvBias, headDim }: ModelConfig, own: Tensor, x: Rows, part: 'q' | 'k' | 'v'): Rows[] {
  return matmul(x, own(`attn_${part}.weight`)).map((product) => {
    const row = qkvBias ? addVector(product, own(`attn_${part}.bias`)) : product;
    return Array.from({ length: row.length / headDim }, (_, i) => row.subarray(i * headDim, (i + 1) * headDim));
  });
}

/** In a gated model, each query head is followed by its gate, which is omitted. */
const queriesOrKeys = ({ gatesAttention }: ModelConfig, projected: Rows[], part: 'q' | 'k'): Rows[] =>
  gatesAttention && part === 'q' ? projected.map((heads) => heads.filter((_, i) => i % 2 === 0)) : projected;

/** The heads of one token, normed if the model norms them. */
function normed(config: ModelConfig, own: Tensor, heads: Rows, part: 'q' | 'k'): Rows {
  if (config.normsQkWhole) {
    const [whole] = norm(
      [Float64Array.from(heads.flatMap((head) => [...head]))],
      own(`attn_${part}_norm.weight`),
      config.rmsNormEps,
    );
    return heads.map((head, i) => whole!.subarray(i * head.length, (i + 1) * head.length));
  }
  return config.qkNorm ? norm(heads, own(`attn_${part}_norm.weight`), config.rmsNormEps) : heads;
}

/** x `[T, hiddenSize]` → `[T, hiddenSize]`: each token's weighted sum of the outputs of its top experts. */
function mixture(config: ModelConfig, { count, used, normalizes, shares: kind }: Experts, own: Tensor, x: Rows): Rows {
  const ofExpert =
    (expert: number): Tensor =>
    (name) => {
      const stack = own(name.replace('.weight', '_exps.weight'));
      return stack.subarray((expert * stack.length) / count, ((expert + 1) * stack.length) / count);
    };
  return matmul(x, own('ffn_gate_inp.weight')).map((scores, t) => {
    const isSigmoid = kind === 'sigmoid';
    const shares = isSigmoid ? scores.map((score) => 1 / (1 + Math.exp(-score))) : softmax(scores);
    const preferred = isSigmoid ? addVector(shares, own('exp_probs_b.bias')) : shares;
    const chosen = [...shares.keys()].sort((a, b) => preferred[b]! - preferred[a]!).slice(0, used);
    const whole = normalizes ? chosen.reduce((sum, expert) => sum + shares[expert]!, 0) : 1;
    return chosen
      .map((expert) => scaled(mlp(config, ofExpert(expert), [x[t]!]), shares[expert]! / whole))
      .reduce(add)[0]!;
  });
}

/** x `[T, hiddenSize]` → `[T, hiddenSize]` */
function mlp({ activation }: ModelConfig, own: Tensor, x: Rows): Rows {
  const activate = ACTIVATIONS[activation];
  const gate = matmul(x, own('ffn_gate.weight'));
  const up = matmul(x, own('ffn_up.weight'));
  const gated = gate.map((row, t) => row.map((value, i) => activate(value) * (up[t]?.[i] ?? 0)));
  return matmul(gated, own('ffn_down.weight'));
}
