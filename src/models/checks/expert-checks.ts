import type { Experts, ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Check } from '../../gpu/self-check.ts';
import { routeExpertsKernel } from '../../kernels/experts/route-experts.ts';
import { sumExpertsKernel } from '../../kernels/experts/sum-experts.ts';
import { ExpertLinear } from '../../layers/experts/expert-linear.ts';
import { Norm } from '../../layers/norm.ts';
import type { WeightUpload } from '../../layers/upload/weight-upload.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { anyHalves, anyMatrix, anyNumbers, bufferOf } from './known-values.ts';
import { ACTIVATIONS, dot, rmsNormed } from './plain-math.ts';

const TOKENS = 3;
const SCALE = 0.5;
/** Of a matrix, and an expert's rows. */
const EXPERTS = 3;
const ROWS = 32;
/** Experts that outputs go through, two to an input of those with a gate. */
const CHOSEN = [2, 0, 2, 1];

/** Shares as they lie in `routes`: of each token its experts in their order. */
const routesOf = (ways: readonly (readonly [expert: number, share: number])[]): Uint32Array<ArrayBuffer> =>
  new Uint32Array(new Float32Array(ways.flatMap(([, share]) => [0, share])).buffer).map((word, i) => (i % 2 === 0 ? ways[i / 2]![0] : word));

/** Choosing experts, and summing what they made. */
export const elementExpertChecks = (device: Device, config: ModelConfig, experts: Experts): Check[] => [routeCheck(device, experts), sumCheck(device, config, experts)];

function routeCheck(device: Device, experts: Experts): Check {
  const { count, used, shares, normalizes } = experts;
  const isSigmoid = shares === 'sigmoid';
  const next = anyNumbers();
  // Their steps are coarse, so some are equal.
  const scores = anyHalves(TOKENS * count, next).map((value) => 2 * value);
  const bias = isSigmoid ? anyHalves(count, next) : new Float32Array(count);
  const [x, routes] = [bufferOf(device, scores), bufferOf(device, new Uint32Array(TOKENS * used * 2))];
  const sharesOf = (token: number): number[] => {
    const own = [...scores.subarray(token * count, (token + 1) * count)].map((score) => (isSigmoid ? 1 / (1 + Math.exp(-score)) : Math.exp(score)));
    const chosen = [...own.keys()].sort((a, b) => own[b]! + bias[b]! - own[a]! - bias[a]!).slice(0, used);
    const whole = (normalizes ? chosen.map((expert) => own[expert]!) : own).reduce((sum, value) => sum + value);
    return own.map((value, expert) => (chosen.includes(expert) ? value / whole : 0));
  };
  return {
    name: `route-experts ${used} of ${count}`,
    make() {
      const operation = createOperation(device, routeExpertsKernel(device, experts), { x, routes, ...(isSigmoid && { expert_bias: bufferOf(device, bias) }) });
      return (recorder) => recorder.run(operation, operation.groups({ tokens: TOKENS }));
    },
    result: [{ buffer: routes, offset: 0, size: TOKENS * used * 8 }],
    read(bytes) {
      const [words, shares] = [new Uint32Array(bytes), new Float32Array(bytes)];
      const found = new Float32Array(TOKENS * count);
      for (let way = 0; way < TOKENS * used; way++) found[Math.floor(way / used) * count + Math.min(words[2 * way]!, count - 1)]! += shares[2 * way + 1]!;
      return found;
    },
    expected: Array.from({ length: TOKENS }, (_, token) => sharesOf(token)).flat(),
    row: count,
  };
}

function sumCheck(device: Device, { hiddenSize: width }: ModelConfig, { used }: Experts): Check {
  const next = anyNumbers();
  const parts = anyHalves(TOKENS * used * width, next);
  const shares = anyHalves(TOKENS * used, next);
  const before = new Float32Array(TOKENS * width).fill(0.25);
  const [x, y] = [bufferOf(device, parts), bufferOf(device, before)];
  const routes = bufferOf(device, routesOf([...shares].map((share) => [0, share])));
  return {
    name: `sum-experts × ${width}`,
    make() {
      const operation = createOperation(device, sumExpertsKernel(device, width, used), { x, routes, y });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(y, 0, before);
        recorder.run(operation, operation.groups({ tokens: TOKENS }), { scale: SCALE });
      };
    },
    result: [{ buffer: y, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from({ length: TOKENS * width }, (_, at) => {
      const [token, column] = [Math.floor(at / width), at % width];
      let sum = 0;
      for (let i = token * used; i < (token + 1) * used; i++) sum += shares[i]! * parts[i * width + column]!;
      return 0.25 + SCALE * sum;
    }),
    row: width,
  };
}

/** Of every product with the matrices of experts, each once. */
export async function expertProductChecks(device: Device, upload: WeightUpload, config: ModelConfig, tensors: ReadonlyMap<string, TensorInfo>): Promise<Check[]> {
  const products = new Map([...tensors.values()].filter(({ name }) => /_(gate|down)_exps/.test(name)).map(({ name, type, shape: [, columns = 0] }) => [`${type} × ${columns} ${name.includes('gate')}`, { type, columns, isGated: name.includes('gate') }]));
  return Promise.all([...products.values()].map((product) => productCheck(device, upload, config, product)));
}

async function productCheck(device: Device, upload: WeightUpload, { activation, rmsNormEps: eps }: ModelConfig, { type, columns, isGated }: { type: GgmlType; columns: number; isGated: boolean }): Promise<Check> {
  const next = anyNumbers();
  const { tensor, values } = anyMatrix(type, EXPERTS * ROWS, columns, next);
  const used = isGated ? 2 : 1;
  const [inputs, normWeight] = [anyHalves((CHOSEN.length / used) * columns, next), anyHalves(columns, next)];
  const matrix = await upload.matrix('check', [{ tensor }], { category: 'adapters', together: ROWS });
  const [x, weights, routes] = [bufferOf(device, inputs), bufferOf(device, normWeight), bufferOf(device, routesOf(CHOSEN.map((expert) => [expert, 0])))];
  const outputs = isGated ? ROWS / 2 : ROWS;
  const y = bufferOf(device, new Float32Array(CHOSEN.length * outputs));
  const expected = CHOSEN.flatMap((expert, i) => {
    const token = Math.floor(i / used);
    const input = inputs.subarray(token * columns, (token + 1) * columns);
    const read = isGated ? rmsNormed(input, normWeight, eps) : input;
    const rows = Array.from({ length: ROWS }, (_, row) => dot(values.subarray((expert * ROWS + row) * columns, (expert * ROWS + row + 1) * columns), read));
    return isGated ? rows.slice(0, outputs).map((gate, row) => ACTIVATIONS[activation](gate) * rows[outputs + row]!) : rows;
  });
  return {
    name: `linear-decode ${type} × ${columns} of experts`,
    make() {
      const norm = isGated ? new Norm(device, weights, eps, { x, output: y }) : undefined;
      const linear = new ExpertLinear(device, { matrix, count: EXPERTS, routes, x, y, used, norm, gate: isGated ? activation : undefined });
      return (recorder) => linear.record(recorder, CHOSEN.length);
    },
    result: [{ buffer: y, offset: 0, size: expected.length * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected,
    row: outputs,
  };
}
