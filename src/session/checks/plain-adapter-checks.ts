import { type LinearGroup, LINEARS, linearShape, linearsOfModel } from '../../architectures/linears.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Check } from '../../gpu/self-check.ts';
import type { Batch } from '../../layers/batch.ts';
import { LoraProduct, Norm } from '../../layers/linear.ts';
import type { WeightUpload } from '../../layers/weight-upload.ts';
import { anyHalves, anyMatrix, anyNumbers, bufferOf, dot, rmsNormed } from '../../models/checks/known-values.ts';

/** Groups after a norm. */
const NORMED: readonly LinearGroup[] = ['qkv', 'gateUp', 'convInput', 'deltaInput'];
const RANK = 32;
/** The outputs that an adapter changes: their number, and the first of them. */
const [ROWS, START] = [32, 16];
const WIDTH = START + ROWS;
const DECODED = [1, 2, 3];
const PREFILLED = 9;
/** Whole tiles. */
const ROOM = 64;
/** The scales of adapter and request. */
const SCALES = [0.5, 2] as const;

/**
 * y + scale · B · A · x in plain form, for every input width of the model's linears, with a norm where they have one.
 */
export async function plainAdapterChecks(device: Device, upload: WeightUpload, config: ModelConfig): Promise<Check[]> {
  const inputs = new Map<string, Input>();
  for (const linear of linearsOfModel(config)) {
    const [, columns] = linearShape(config, linear);
    const input = { columns, isNormed: NORMED.includes(LINEARS[linear].group) };
    inputs.set(JSON.stringify(input), input);
  }
  const checks: Check[] = [];
  for (const input of inputs.values()) checks.push(...(await checksOf(device, upload, config, input)));
  return checks;
}

interface Input {
  columns: number;
  isNormed: boolean;
}

async function checksOf(
  device: Device,
  upload: WeightUpload,
  { rmsNormEps: eps }: ModelConfig,
  { columns, isNormed }: Input,
): Promise<Check[]> {
  const next = anyNumbers();
  const [a, b] = [anyMatrix('F16', RANK, columns, next), anyMatrix('F16', ROWS, RANK, next)];
  const [matrixA, matrixB] = [
    await upload.matrix('check', [a], { category: 'adapters' }),
    await upload.matrix('check', [b], { category: 'adapters' }),
  ];
  const [x, weight, before] = [
    anyHalves(ROOM * columns, next),
    anyHalves(columns, next),
    anyHalves(ROOM * WIDTH, next),
  ];
  const empty = (count: number): GPUBuffer => bufferOf(device, new Float32Array(count));
  const buffers = { x: bufferOf(device, x), y: bufferOf(device, before), low: empty(ROOM * RANK) };
  const [normWeight, normed] = [bufferOf(device, weight), empty(x.length)];
  const rows = (values: Float32Array, width: number): Float32Array[] =>
    Array.from({ length: values.length / width }, (_, row) => values.subarray(row * width, (row + 1) * width));
  const [rowsOfA, rowsOfB] = [rows(a.values, columns), rows(b.values, RANK)];
  const outputs = rows(x, columns)
    .slice(0, PREFILLED)
    .map((input, token) => {
      const read = isNormed ? rmsNormed(input, weight, eps) : input;
      const low = Float32Array.from(rowsOfA, (row) => dot(row, read));
      const kept = before.subarray(token * WIDTH, (token + 1) * WIDTH);
      return [...kept].map((value, i) =>
        i < START ? value : value + SCALES[0] * SCALES[1] * dot(rowsOfB[i - START]!, low),
      );
    });
  const check = (kind: Batch['kind'], tokens: number): Check => ({
    name: `plain adapters, linear-${kind} F16 × ${columns}`,
    make() {
      const norm = isNormed ? new Norm(device, normWeight, eps, { x: buffers.x, output: normed }) : undefined;
      const product = new LoraProduct(
        device,
        matrixA,
        matrixB,
        { ...buffers, outputStart: START, outputWidth: WIDTH, norm },
        SCALES[0],
      );
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(buffers.y, 0, before);
        if (kind === 'prefill') norm?.record(recorder, tokens);
        product.record(recorder, { kind, tokens }, SCALES[1]);
      };
    },
    result: [{ buffer: buffers.y, offset: 0, size: tokens * WIDTH * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: outputs.slice(0, tokens).flat(),
    row: START,
  });
  return [...DECODED.map((tokens) => check('decode', tokens)), check('prefill', PREFILLED)];
}
