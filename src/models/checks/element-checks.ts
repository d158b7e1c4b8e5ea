import type { ModelConfig, ShortConvolution } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/recorder.ts';
import type { Check } from '../../gpu/self-check.ts';
import { normQkKernel, gatedActivationKernel, capLogitsKernel, takeInputKernel } from '../../kernels/element-wise.ts';
import { pageEntry, UNIT_BYTES } from '../../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../kernels/heads.ts';
import { shortConvKernel } from '../../kernels/recurrent.ts';
import { batchTable } from '../../layers/batch.ts';
import { Embedding, Norm } from '../../layers/linear.ts';
import type { WeightUpload } from '../../layers/weight-upload.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { ACTIVATIONS } from '../../config/activations.ts';
import { anyHalves, anyMatrix, anyNumbers, bufferOf, rmsNormed } from './known-values.ts';

const TOKENS = 3;
/** Scale of the norm's output. */
const SCALE = 0.75;

/** Checks the embedding, with an indirection from a batch's tokens to their ids. */
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

/** Checks the RMS norm from the second token on, as for logits. `added`: initial output, for norms that accumulate; 0: none. */
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

/** Checks the norms of q and k, each over all heads. */
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

/** Checks activation(gate) · up in prefill. */
export function gateCheck(device: Device, { intermediateSize: width, activation }: ModelConfig): Check {
  const x = anyHalves(TOKENS * 2 * width, anyNumbers()).map((value) => 4 * value);
  const [input, y] = [bufferOf(device, x), bufferOf(device, new Float32Array(TOKENS * width))];
  return {
    name: `gated-activation × ${width}`,
    make() {
      const operation = createOperation(device, gatedActivationKernel(device, width, activation), { x: input, y });
      return (recorder) => recorder.run(operation, operation.groups({ tokens: TOKENS }));
    },
    result: [{ buffer: y, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from({ length: TOKENS * width }, (_, i) => {
      const at = Math.floor(i / width) * 2 * width + (i % width);
      return ACTIVATIONS[activation].compute(x[at]!) * x[at + width]!;
    }),
    row: width,
  };
}

/** Three texts of two pages each: from the start, up to a page's end, and from the second page on. */
const CONVOLVED = [
  ...[0, 1, 2].map((position) => ({ position, firstPage: 4 })),
  ...[PAGE_TOKENS - 2, PAGE_TOKENS - 1].map((position) => ({ position, firstPage: 2 })),
  ...[PAGE_TOKENS, PAGE_TOKENS + 1].map((position) => ({ position, firstPage: 0 })),
];
const PAGES = 6;

/** Checks the convolution of a batch of several texts, some with cached tokens. */
export function convolutionCheck(
  device: Device,
  { hiddenSize: width }: ModelConfig,
  { taps }: ShortConvolution,
): Check {
  const next = anyNumbers();
  const [x, weights, before] = [
    anyHalves(CONVOLVED.length * 3 * width, next),
    anyHalves(taps * width, next),
    anyHalves(PAGES * PAGE_TOKENS * width, next),
  ];
  const table = batchTable(
    CONVOLVED.map(({ position, firstPage }) => ({
      place: 0,
      position,
      firstPage,
      page: Math.floor(position / PAGE_TOKENS),
    })),
  );
  const units = (PAGE_TOKENS * width * 4) / UNIT_BYTES;
  const pages = Array.from({ length: PAGES }, (_, i) =>
    pageEntry(i * units, 'f16', PAGE_TOKENS, (i % 2) * PAGE_TOKENS),
  ).flat();
  const [state, y] = [bufferOf(device, before), bufferOf(device, new Float32Array(CONVOLVED.length * width))];
  const bounds = {
    batch_table: bufferOf(device, table),
    pages: bufferOf(device, Uint32Array.from(pages)),
    x: bufferOf(device, x),
    taps: bufferOf(device, weights),
    state,
    y,
  };
  const taken = (position: number, firstPage: number, column: number): number => {
    const t = CONVOLVED.findIndex((token) => token.position === position && token.firstPage === firstPage);
    if (t < 0) return before[(firstPage * PAGE_TOKENS + position) * width + column]!;
    return x[t * 3 * width + column]! * x[(t * 3 + 2) * width + column]!;
  };
  const expected = CONVOLVED.flatMap(({ position, firstPage }, t) =>
    Array.from({ length: width }, (_, column) => {
      let sum = 0;
      for (let back = 0; back < taps && back <= position; back++)
        sum += weights[back * width + column]! * taken(position - back, firstPage, column);
      return x[(t * 3 + 1) * width + column]! * sum;
    }),
  );
  return {
    name: `short-conv × ${width}`,
    make() {
      const operation = createOperation(device, shortConvKernel(device, width, taps), bounds);
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(state, 0, before);
        recorder.run(operation, operation.groups({ tokens: CONVOLVED.length }));
      };
    },
    result: [{ buffer: y, offset: 0, size: CONVOLVED.length * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected,
    row: width,
  };
}

/** Checks the gated per-layer input of a layer. */
export function layerInputCheck(device: Device, { perLayerInputs: width = 0, activation }: ModelConfig): Check {
  const layers = 3;
  const next = anyNumbers();
  const [gates, inputs] = [
    anyHalves(TOKENS * width, next).map((value) => 4 * value),
    anyHalves(TOKENS * layers * width, next),
  ];
  const [x, taken] = [bufferOf(device, gates), bufferOf(device, inputs)];
  return {
    name: `take-input × ${width}`,
    make() {
      const operation = createOperation(device, takeInputKernel(device, width, layers, activation), {
        x,
        inputs: taken,
      });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(x, 0, gates);
        recorder.run(operation, operation.groups({ tokens: TOKENS }), { start4: width / 4 });
      };
    },
    result: [{ buffer: x, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from(
      gates,
      (gate, i) =>
        ACTIVATIONS[activation].compute(gate) * inputs[Math.floor(i / width) * layers * width + width + (i % width)]!,
    ),
    row: width,
  };
}

/** Checks the logit cap with small logits and with saturated ones. */
export function logitCapCheck(device: Device, cap: number): Check {
  const width = 40;
  const values = anyHalves(TOKENS * width, anyNumbers()).map((value, i) => (i % 5 === 0 ? 1e4 : 2) * cap * value);
  const logits = bufferOf(device, values);
  return {
    name: 'cap-logits',
    make() {
      const operation = createOperation(device, capLogitsKernel(device, width, cap), { logits });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(logits, 0, values);
        recorder.run(operation, operation.groups({ tokens: TOKENS }));
      };
    },
    result: [{ buffer: logits, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from(values, (logit) => cap * Math.tanh(logit / cap)),
    row: width,
  };
}
