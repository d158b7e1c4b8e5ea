import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation, type Recorder } from '../../gpu/recorder.ts';
import type { Check, CheckGroup } from '../../gpu/self-check.ts';
import { repackKernel, unitsOfRow } from '../../kernels/upload.ts';
import { repack } from '../../kernels/formats/repack.ts';
import { weightBufferNames } from '../../kernels/formats/weight-formats.ts';
import { WeightUpload } from '../../layers/weight-upload.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import { deinterleaveRows } from '../../weights/interleaved-rows.ts';
import { onGpu } from '../../weights/model-tensors.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { ATTENTION_CANDIDATES, PREFILL_CANDIDATES, DECODE_CANDIDATES } from '../kernel-candidates.ts';
import { attentionChecks } from './attention-checks.ts';
import { attentionGateCheck, deltaNetCheck } from './delta-net-checks.ts';
import {
  convolutionCheck,
  embeddingCheck,
  gateCheck,
  layerInputCheck,
  logitCapCheck,
  normCheck,
  normQkCheck,
} from './element-checks.ts';
import { elementExpertChecks, expertProductChecks } from './expert-checks.ts';
import { anyMatrix, anyNumbers, bufferOf } from './known-values.ts';
import { productChecks } from './product-checks.ts';

/** Rows: two heads of eight. */
const ROWS = 16;
const HEAD_DIM = 8;
const COLUMNS = 512;

/** Checks that the GPU repacks a matrix bit for bit like JavaScript, with and without deinterleaved rows. */
export function repackChecks(device: Device, type: GgmlType): Check[] {
  return [0, HEAD_DIM].map((headDim) => {
    const { bytes } = anyMatrix(type, ROWS, COLUMNS, anyNumbers());
    const rows = headDim === 0 ? bytes : deinterleaveRows(bytes, bytes.length / ROWS, headDim);
    const right = repack(type, rows);
    const buffers = weightBufferNames(type).map((name) => [name, right[name] ?? new Uint32Array()] as const);
    const words = buffers.flatMap(([, words]) => [...words]);
    const bound = buffers.map(([name, words]) => [name, bufferOf(device, new Uint32Array(words.length))] as const);
    return {
      name: `repack ${type}`,
      make() {
        const { gpuDevice, variant } = device;
        if (variant.repacksOnHost) {
          return () => bound.forEach(([, buffer], i) => gpuDevice.queue.writeBuffer(buffer, 0, buffers[i]![1].slice()));
        }
        const raw = bufferOf(device, new Uint32Array(bytes.slice().buffer));
        const operation = createOperation(device, repackKernel(type), {
          raw,
          fault: bufferOf(device, new Uint32Array(1)),
          ...Object.fromEntries(bound),
        });
        const rowUnits = unitsOfRow(type, COLUMNS);
        const units = ROWS * rowUnits;
        return (recorder) =>
          recorder.run(operation, operation.groups({ units }), {
            units,
            firstUnit: 0,
            firstRow: 0,
            rowUnits,
            headDim,
            tensor: 0,
          });
      },
      result: bound.map(([, buffer], i) => ({ buffer, offset: 0, size: buffers[i]![1].byteLength })),
      read: (found) => [Number(new Uint32Array(found).every((word, i) => word === words[i]))],
      expected: [1],
    };
  });
}

/** Checks of all kernels of a model's forward pass, at its widths. */
export async function kernelChecks(
  device: Device,
  recorder: Recorder,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): Promise<CheckGroup[]> {
  const { variant } = device;
  const types = new Set(
    onGpu(tensors)
      .filter(({ shape }) => shape.length === 2)
      .map(({ type }) => type),
  );
  const upload = checkUpload(device, recorder);
  const { decode, prefill } = await productChecks(device, upload, config, tensors);
  const embeddings = tensors.get('token_embd.weight');
  const { convolution, deltaNet, experts } = config;
  const mixers = [
    ...(convolution ? [convolutionCheck(device, config, convolution)] : []),
    ...(deltaNet ? [deltaNetCheck(device, config, deltaNet)] : []),
    ...(config.gatesAttention ? [attentionGateCheck(device, config)] : []),
  ];
  const ofExperts = experts ? elementExpertChecks(device, config, experts) : [];
  const ofInputs = [
    ...(config.perLayerInputs === undefined ? [] : [layerInputCheck(device, config)]),
    ...(config.logitCap === undefined ? [] : [logitCapCheck(device, config.logitCap)]),
  ];
  const others = [
    gateCheck(device, config),
    ...mixers,
    ...ofExperts,
    ...ofInputs,
    ...(embeddings ? [await embeddingCheck(device, upload, config, embeddings)] : []),
  ];
  const repacked = variant.repacksOnHost ? [] : [...types].flatMap((type) => repackChecks(device, type));
  return [
    { candidates: [{ repacksOnHost: true }], checks: repacked },
    {
      candidates: DECODE_CANDIDATES,
      checks: [
        normCheck(device, config),
        ...(config.postNorms ? [normCheck(device, config, 0.5)] : []),
        ...(config.normsQkWhole ? [normQkCheck(device, config)] : []),
        ...decode,
        ...(await expertProductChecks(device, upload, config, tensors)),
      ],
    },
    { candidates: [{ roundsInputs: false }, ...PREFILL_CANDIDATES], checks: prefill },
    { candidates: [], checks: others },
    { candidates: ATTENTION_CANDIDATES, checks: attentionChecks(device, config) },
  ];
}

/** Uploads the checks' matrices, repacked in JavaScript; repacking on the GPU has checks of its own. */
export const checkUpload = (device: Device, recorder: Recorder): WeightUpload =>
  new WeightUpload({ ...device, variant: { ...device.variant, repacksOnHost: true } }, recorder);
