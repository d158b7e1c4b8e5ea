import type { ModelConfig } from '../../src/config/model-config.ts';
import type { ReferenceModel } from './model.ts';
import { ACTIVATIONS, add, matmul, norm, type Rows, scaled } from './operations.ts';

/**
 * The per-layer inputs of each token (transformers, modeling_gemma4.py, project_per_layer_inputs): `[layer][T, perLayerInputs]`,
 * in equal parts from the token's row of an embedding matrix and from its scaled embedding `x [T, hiddenSize]`.
 */
export function layerInputs({ config, tensors }: ReferenceModel, tokens: readonly number[], x: Rows): Rows[] {
  const { numLayers, hiddenSize, rmsNormEps, perLayerInputs: width = 0 } = config;
  const tensor = (name: string): Float32Array => tensors.get(name) ?? new Float32Array();
  const table = tensor('per_layer_token_embd.weight');
  const projected = scaled(matmul(x, tensor('per_layer_model_proj.weight')), 1 / Math.sqrt(hiddenSize));
  return Array.from({ length: numLayers }, (_, layer) => {
    const own = projected.map((row) => row.subarray(layer * width, (layer + 1) * width));
    const rows = tokens.map((id) =>
      Float64Array.from(table.subarray((id * numLayers + layer) * width, (id * numLayers + layer + 1) * width)),
    );
    return scaled(
      add(norm(own, tensor('per_layer_proj_norm.weight'), rmsNormEps), scaled(rows, Math.sqrt(width))),
      Math.SQRT1_2,
    );
  });
}

/** (x + norm(Wout · (activation(Wgate · x) · input))) · scale. */
export function withLayerInput(
  { activation, rmsNormEps }: ModelConfig,
  own: (name: string) => Float32Array | undefined,
  x: Rows,
  input: Rows,
): Rows {
  const tensor = (name: string): Float32Array => own(name) ?? new Float32Array();
  const gates = matmul(x, tensor('inp_gate.weight'));
  const taken = gates.map((row, t) => row.map((gate, i) => ACTIVATIONS[activation](gate) * (input[t]?.[i] ?? 0)));
  const made = norm(matmul(taken, tensor('proj.weight')), tensor('post_norm.weight'), rmsNormEps);
  return scaled(add(x, made), own('layer_output_scale.weight')?.[0] ?? 1);
}
