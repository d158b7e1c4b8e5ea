import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Check } from '../../gpu/self-check.ts';
import { normQkKernel } from '../../kernels/attention/norm-qk.ts';
import { siluMulKernel } from '../../kernels/silu-mul.ts';
import { batchTable } from '../../layers/batch.ts';
import { Embedding } from '../../layers/embedding.ts';
import { Norm } from '../../layers/norm.ts';
import type { WeightUpload } from '../../layers/upload/weight-upload.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { anyHalves, anyMatrix, anyNumbers, bufferOf } from './known-values.ts';
import { ACTIVATIONS, rmsNormed } from './plain-math.ts';

const TOKENS = 3;
/** Of what a norm leaves. */
const SCALE = 0.75;

/** Rows of the embedding matrix, here of four, by the ids of a batch's tokens, which stand elsewhere. */
export async function embeddingCheck(
  device: Device,
  upload: WeightUpload,
  config: Pick<ModelConfig, 'hiddenSize' | 'embeddingScale'>,
  { type }: TensorInfo,
): Promise<Check> {
  const { hiddenSize: columns, embeddingScale } = config;
  const { tensor, values } = anyMatrix(type, 4, columns, anyNumbers());
  const matrix = await upload.matrix('check', [{ tensor }], { category: 'adapters' });
  const ids = [2, 0, 3];
  const places = [4, 1, 3];
  const tokens = new Uint32Array(5);
  places.forEach((place, i) => (tokens[place] = ids[i]!));
  const table = batchTable(places.map((place) => ({ place, position: 0, firstPage: 0, page: 0 })));
  const [tokenBuffer, tableBuffer, x] = [
    bufferOf(device, tokens),
    bufferOf(device, table),
    bufferOf(device, new Float32Array(TOKENS * columns)),
  ];
  return {
    name: `embed ${type} × ${columns}`,
    make() {
      const embedding = new Embedding(device, matrix, embeddingScale, {
        tokens: tokenBuffer,
        batchTable: tableBuffer,
        x,
      });
      return (recorder) => embedding.record(recorder, { tokens: TOKENS });
    },
    result: [{ buffer: x, offset: 0, size: TOKENS * columns * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: ids.flatMap((id) =>
      Array.from(values.subarray(id * columns, (id + 1) * columns), (value) => value * embeddingScale),
    ),
    row: columns,
  };
}

/** From the second token on, as logits are asked for; `added`: to what is there, as of what layers add where that is normed. */
export function normCheck(device: Device, { hiddenSize: width, rmsNormEps: eps }: ModelConfig, added = 0): Check {
  const next = anyNumbers();
  const [x, weight] = [anyHalves((TOKENS + 1) * width, next), anyHalves(width, next)];
  const before = new Float32Array(TOKENS * width).fill(added);
  const [input, weights, y] = [bufferOf(device, x), bufferOf(device, weight), bufferOf(device, before)];
  const expected = Array.from({ length: TOKENS }, (_, token) =>
    [...rmsNormed(x.subarray((token + 1) * width, (token + 2) * width), weight, eps)].map(
      (value) => SCALE * (added + value),
    ),
  );
  return {
    name: `rms-norm × ${width}`,
    make() {
      const norm = new Norm(device, weights, eps, { x: input, output: y, accumulate: added !== 0 });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(y, 0, before);
        norm.record(recorder, TOKENS, { start: 1, scale: SCALE });
      };
    },
    result: [{ buffer: y, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: expected.flat(),
    row: width,
  };
}

/** q and k of a row, each over all of its heads. */
export function normQkCheck(device: Device, config: ModelConfig): Check {
  const { numHeads, numKvHeads, headDim, rmsNormEps: eps } = config;
  const [queries, keys] = [numHeads * headDim, numKvHeads * headDim];
  const width = queries + 2 * keys;
  const next = anyNumbers();
  const [rows, weight] = [anyHalves(TOKENS * width, next), anyHalves(queries + keys, next)];
  const [qkv, weights] = [bufferOf(device, rows), bufferOf(device, weight)];
  const expected = Array.from({ length: TOKENS }, (_, token) => {
    const row = rows.subarray(token * width, (token + 1) * width);
    const parts = [
      rmsNormed(row.subarray(0, queries), weight.subarray(0, queries), eps),
      rmsNormed(row.subarray(queries, queries + keys), weight.subarray(queries), eps),
    ];
    return [...parts.flatMap((part) => [...part]), ...row.subarray(queries + keys)];
  });
  return {
    name: `norm-qk × ${queries}`,
    make() {
      const operation = createOperation(device, normQkKernel(device, config), { qkv, norm_weight: weights });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(qkv, 0, rows);
        recorder.run(operation, operation.groups({ tokens: TOKENS }), { tokens: TOKENS });
      };
    },
    result: [{ buffer: qkv, offset: 0, size: rows.byteLength }],
    read: (bytes) => new Float32Array(bytes),
    expected: expected.flat(),
    row: width,
  };
}

/** activation(gate) · up, as a prompt's tokens have it. */
export function gateCheck(device: Device, { intermediateSize: width, activation }: ModelConfig): Check {
  const x = anyHalves(TOKENS * 2 * width, anyNumbers()).map((value) => 4 * value);
  const [input, y] = [bufferOf(device, x), bufferOf(device, new Float32Array(TOKENS * width))];
  return {
    name: `silu-mul × ${width}`,
    make() {
      const operation = createOperation(device, siluMulKernel(device, width, activation), { x: input, y });
      return (recorder) => recorder.run(operation, operation.groups({ tokens: TOKENS }));
    },
    result: [{ buffer: y, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from({ length: TOKENS * width }, (_, i) => {
      const at = Math.floor(i / width) * 2 * width + (i % width);
      return ACTIVATIONS[activation](x[at]!) * x[at + width]!;
    }),
    row: width,
  };
}
