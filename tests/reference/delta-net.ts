import type { DeltaNet } from '../../src/config/model-config.ts';
import { deltaStep } from './kernels/delta-rule.ts';
import { matmul, norm, type Rows, silu } from './operations.ts';

type Tensor = (name: string) => Float32Array;

/** A gated delta net (transformers, modeling_qwen3_5.py, Qwen3_5GatedDeltaNet), token by token: x `[T, hiddenSize]` → `[T, hiddenSize]`. */
export function deltaNet(net: DeltaNet, own: Tensor, x: Rows, eps: number): Rows {
  const { numKeyHeads, numValueHeads, headDim } = net;
  const mixed = convolved(net, own('ssm_conv1d.weight'), matmul(x, own('attn_qkv.weight')));
  const gates = matmul(x, own('attn_gate.weight'));
  const betas = matmul(x, own('ssm_beta.weight'));
  const alphas = matmul(x, own('ssm_alpha.weight'));
  const [rate, bias] = [own('ssm_a'), own('ssm_dt.bias')];
  const states = Array.from({ length: numValueHeads }, () =>
    Array.from({ length: headDim }, () => new Float64Array(headDim)),
  );
  const outputs = mixed.map((row, t) => {
    const part = (i: number): Float64Array => row.subarray(i * headDim, (i + 1) * headDim);
    const heads = states.map((state, head) => {
      const keyHead =
        net.valueHeads === 'tiled' ? head % numKeyHeads : Math.floor((head * numKeyHeads) / numValueHeads);
      const beta = 1 / (1 + Math.exp(-betas[t]![head]!));
      const decay = Math.exp(rate[head]! * Math.log1p(Math.exp(alphas[t]![head]! + bias[head]!)));
      return deltaStep(state, {
        query: part(keyHead),
        key: part(numKeyHeads + keyHead),
        value: part(2 * numKeyHeads + head),
        beta,
        decay,
      });
    });
    const normed = norm(heads, own('ssm_norm.weight'), eps);
    return Float64Array.from(
      normed.flatMap((head, h) => [...head.map((value, i) => value * silu(gates[t]![h * headDim + i]!))]),
    );
  });
  return matmul(outputs, own('ssm_out.weight'));
}

/** Causal depthwise convolution, then SiLU. The last weight is the current token's. */
function convolved({ taps }: DeltaNet, weights: Float32Array, x: Rows): Rows {
  return x.map((row, t) =>
    row.map((_, i) => {
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += weights[i * taps + tap]! * (x[t - (taps - 1) + tap]?.[i] ?? 0);
      return silu(sum);
    }),
  );
}
