import type { AdapterModule } from '../adapters/adapter-file.ts';
import { isResidual, type LinearGroup, type LinearName, LINEARS, placeInGroup } from '../architectures/linears.ts';
import { configOfLayer } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Recorder } from '../gpu/recorder.ts';
import { type LoraBuffers, type LoraLayer, LoraProduct } from '../layers/linear.ts';
import { destroyMatrix, type WeightMatrix } from '../layers/weight-matrix.ts';
import { WeightUpload } from '../layers/weight-upload.ts';
import { quantize } from '../weights/quantize.ts';
import type { Transformer } from './transformer.ts';

/** An unfused adapter on the GPU. */
export interface LoadedLora {
  layers: readonly LoraLayer[];
  /** GPU bytes. */
  bytes: number;
  destroy(): void;
}

/** Kernels read 32 columns at a time, so B is padded with zeros. */
const RANK_STEP = 32;

/** Uploads an adapter's factors in f16, like PEFT in half precision. The adapter's reader has checked the shapes. */
export async function loadLora(
  device: Device,
  recorder: Recorder,
  transformer: Transformer,
  modules: readonly AdapterModule[],
): Promise<LoadedLora> {
  const weights = new WeightUpload(device, recorder);
  const matrices: WeightMatrix[] = [];
  const before = device.buffers.report().adapters;
  const destroy = (): void => {
    for (const matrix of matrices) destroyMatrix(device, matrix);
  };
  const upload = async (name: string, values: Float32Array, columns: number): Promise<WeightMatrix> => {
    const bytes = quantize('F16', values);
    const source = {
      name,
      size: bytes.length,
      read: async (at: number, size: number) => bytes.subarray(at, at + size),
    };
    const shape = [values.length / columns, columns];
    const tensor = { name, shape, type: 'F16', bytes: bytes.length, offset: 0, source } as const;
    const matrix = await weights.matrix(name, [{ tensor }], { category: 'adapters' });
    matrices.push(matrix);
    return matrix;
  };
  try {
    const layers: LoraLayer[] = Array.from({ length: transformer.config.numLayers }, () => ({}));
    for (const { name, layer, linear, rank, inFeatures, a, b, scale } of modules) {
      const products = layers[layer];
      if (!products) throw new Error(`${name}: no such layer`); // the adapter's reader guarantees it
      const padded = Math.ceil(rank / RANK_STEP) * RANK_STEP;
      const matrixA = await upload(`${name}.lora_a`, a, inFeatures);
      const matrixB = await upload(`${name}.lora_b`, padColumns(b, rank, padded), padded);
      const { residualScale } = transformer.config;
      const whole = isResidual(linear) ? scale * residualScale : scale;
      products[linear] = new LoraProduct(device, matrixA, matrixB, buffersOf(transformer, layer, linear), whole);
    }
    await weights.finish();
    await device.pipelines.ready();
    return { layers, bytes: device.buffers.report().adapters - before, destroy };
  } catch (error) {
    destroy();
    throw error;
  } finally {
    weights.destroy();
  }
}

function padColumns(values: Float32Array, from: number, to: number): Float32Array {
  const padded = new Float32Array((values.length / from) * to);
  for (let row = 0; row * from < values.length; row++) {
    padded.set(values.subarray(row * from, (row + 1) * from), row * to);
  }
  return padded;
}

/** Buffers of the base linear, for the products next to it. */
function buffersOf({ config, activations, layers }: Transformer, layer: number, name: LinearName): LoraBuffers {
  const { x, normed, qkv, attended, gateUp, gated, low } = activations;
  const residual = config.postNorms ? normed : x;
  const { mixer, mlp } = layers[layer] ?? {};
  const ofGroup: Record<LinearGroup, Pick<LoraBuffers, 'x' | 'y' | 'norm'>> = {
    qkv: { x, y: qkv, norm: mixer?.norm },
    output: { x: attended, y: residual },
    convInput: { x, y: qkv, norm: mixer?.norm },
    convOutput: { x: attended, y: residual },
    deltaInput: { x, y: qkv, norm: mixer?.norm },
    deltaOutput: { x: attended, y: residual },
    gateUp: { x, y: gateUp, norm: mlp?.norm },
    down: { x: gated, y: residual },
  };
  return { ...ofGroup[LINEARS[name].group], ...placeInGroup(configOfLayer(config, layer), name), low };
}
