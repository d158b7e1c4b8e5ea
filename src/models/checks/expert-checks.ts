import type { Experts, ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/recorder.ts';
import type { Check } from '../../gpu/self-check.ts';
import {
  GROUP_TOKENS,
  groupedPlaces,
  groupExpertsKernel,
  routeExpertsKernel,
  sumExpertsKernel,
} from '../../kernels/experts.ts';
import { ExpertLinear } from '../../layers/experts.ts';
import { Norm } from '../../layers/linear.ts';
import type { WeightUpload } from '../../layers/weight-upload.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { ACTIVATIONS } from '../../config/activations.ts';
import { anyHalves, anyMatrix, anyNumbers, bufferOf, dot, rmsNormed } from './known-values.ts';

const TOKENS = 3;
const SCALE = 0.5;
/** Experts of a matrix, and rows of an expert. */
const EXPERTS = 3;
const ROWS = 32;
/** Expert of each output, two per input with gates; one expert has more tokens than a group. */
const CHOSEN = [2, 0, 2, 1, 2, 1, 2, 0, 2, 1, 2, 0, 2, 1, 2, 0, 2, 1, 2, 0];

/** Contents of `routes`: expert and share, token by token. */
const routesOf = (ways: readonly (readonly [expert: number, share: number])[]): Uint32Array<ArrayBuffer> =>
  new Uint32Array(new Float32Array(ways.flatMap(([, share]) => [0, share])).buffer).map((word, i) =>
    i % 2 === 0 ? ways[i / 2]![0] : word,
  );

/** Expected result of group-experts: (expert, index) pairs sorted by expert, padded to whole groups. */
function placesOf(experts: readonly number[], count: number): Uint32Array<ArrayBuffer> {
  const places: number[] = [];
  for (let expert = 0; expert < count; expert++) {
    experts.forEach((own, way) => {
      if (own === expert) places.push(expert, way);
    });
    while (places.length % (2 * GROUP_TOKENS) !== 0) places.push(expert, experts.length);
  }
  while (places.length < 2 * groupedPlaces(experts.length, count)) places.push(0xffffffff, experts.length);
  return Uint32Array.from(places);
}

/** Checks of choosing experts, grouping tokens by expert, and summing outputs. */
export const elementExpertChecks = (device: Device, config: ModelConfig, experts: Experts): Check[] => [
  routeCheck(device, experts),
  groupCheck(device, experts),
  sumCheck(device, config, experts),
];

function groupCheck(device: Device, { count }: Experts): Check {
  const next = anyNumbers();
  const experts = Array.from({ length: 3 * GROUP_TOKENS + 1 }, (_, i) =>
    i % 2 === 0 ? count - 1 : Math.floor(count * next()),
  );
  const expected = placesOf(experts, count);
  const [routes, places] = [
    bufferOf(device, routesOf(experts.map((expert) => [expert, 0]))),
    bufferOf(device, new Uint32Array(expected.length)),
  ];
  return {
    name: `group-experts of ${count}`,
    make() {
      const operation = createOperation(device, groupExpertsKernel(device, count), { routes, places });
      return (recorder) =>
        recorder.run(operation, operation.groups({}), { ways: experts.length, places: expected.length / 2 });
    },
    result: [{ buffer: places, offset: 0, size: expected.byteLength }],
    // Integers must match exactly.
    read: (bytes) => Array.from(new Uint32Array(bytes), (word, i) => (word === expected[i] ? 1 : 0)),
    expected: Array<number>(expected.length).fill(1),
    row: 1,
  };
}

function routeCheck(device: Device, experts: Experts): Check {
  const { count, used, shares, normalizes } = experts;
  const isSigmoid = shares === 'sigmoid';
  const next = anyNumbers();
  const scores = anyHalves(TOKENS * count, next).map((value) => 2 * value);
  scores.fill(0.5, 0, count); // one token has equal scores
  const bias = isSigmoid ? anyHalves(count, next) : new Float32Array(count);
  const [x, routes] = [bufferOf(device, scores), bufferOf(device, new Uint32Array(TOKENS * used * 2))];
  const sharesOf = (token: number): number[] => {
    const own = [...scores.subarray(token * count, (token + 1) * count)].map((score) =>
      isSigmoid ? 1 / (1 + Math.exp(-score)) : Math.exp(score),
    );
    const chosen = [...own.keys()].sort((a, b) => own[b]! + bias[b]! - own[a]! - bias[a]!).slice(0, used);
    const whole = (normalizes ? chosen.map((expert) => own[expert]!) : own).reduce((sum, value) => sum + value);
    return own.map((value, expert) => (chosen.includes(expert) ? value / whole : 0));
  };
  return {
    name: `route-experts ${used} of ${count}`,
    make() {
      const operation = createOperation(device, routeExpertsKernel(device, experts), {
        x,
        routes,
        ...(isSigmoid && { expert_bias: bufferOf(device, bias) }),
      });
      return (recorder) => recorder.run(operation, operation.groups({ tokens: TOKENS }));
    },
    result: [{ buffer: routes, offset: 0, size: TOKENS * used * 8 }],
    read(bytes) {
      const [words, shares] = [new Uint32Array(bytes), new Float32Array(bytes)];
      const found = new Float32Array(TOKENS * count);
      for (let way = 0; way < TOKENS * used; way++)
        found[Math.floor(way / used) * count + Math.min(words[2 * way]!, count - 1)]! += shares[2 * way + 1]!;
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

/** Checks every distinct product with expert matrices, in decode and in prefill. */
export async function expertProductChecks(
  device: Device,
  upload: WeightUpload,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): Promise<Check[]> {
  const products = new Map(
    [...tensors.values()]
      .filter(({ name }) => /_(gate|down)_exps/.test(name))
      .map(({ name, type, shape: [, columns = 0] }) => [
        `${type} × ${columns} ${name.includes('gate')}`,
        { type, columns, isGated: name.includes('gate') },
      ]),
  );
  const checks = await Promise.all(
    [...products.values()].map((product) => productChecks(device, upload, config, product)),
  );
  return checks.flat();
}

async function productChecks(
  device: Device,
  upload: WeightUpload,
  { activation, rmsNormEps: eps }: ModelConfig,
  { type, columns, isGated }: { type: GgmlType; columns: number; isGated: boolean },
): Promise<Check[]> {
  const next = anyNumbers();
  const { tensor, values } = anyMatrix(type, EXPERTS * ROWS, columns, next);
  const used = isGated ? 2 : 1;
  const [inputs, normWeight] = [anyHalves((CHOSEN.length / used) * columns, next), anyHalves(columns, next)];
  const matrix = await upload.matrix('check', [{ tensor }], { category: 'adapters', together: ROWS });
  const [x, weights] = [bufferOf(device, inputs), bufferOf(device, normWeight)];
  const [routes, places] = [
    bufferOf(device, routesOf(CHOSEN.map((expert) => [expert, 0]))),
    bufferOf(device, placesOf(CHOSEN, EXPERTS)),
  ];
  const outputs = isGated ? ROWS / 2 : ROWS;
  const y = bufferOf(device, new Float32Array(CHOSEN.length * outputs));
  const expected = CHOSEN.flatMap((expert, i) => {
    const token = Math.floor(i / used);
    const input = inputs.subarray(token * columns, (token + 1) * columns);
    const read = isGated ? rmsNormed(input, normWeight, eps) : input;
    const rows = Array.from({ length: ROWS }, (_, row) =>
      dot(values.subarray((expert * ROWS + row) * columns, (expert * ROWS + row + 1) * columns), read),
    );
    return isGated
      ? rows.slice(0, outputs).map((gate, row) => ACTIVATIONS[activation].compute(gate) * rows[outputs + row]!)
      : rows;
  });
  const check = (kind: 'decode' | 'prefill'): Check => ({
    name: `linear-${kind} ${type} × ${columns} of experts`,
    make() {
      const isGrouped = kind === 'prefill' && device.variant.lanes > 1;
      const norm = isGated ? new Norm(device, weights, eps, { x, output: y }) : undefined;
      const linear = new ExpertLinear(device, {
        matrix,
        count: EXPERTS,
        routes: isGrouped ? places : routes,
        isGrouped,
        x,
        y,
        used,
        norm,
        gate: isGated ? activation : undefined,
      });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(y, 0, new Float32Array(CHOSEN.length * outputs)); // clears the other check's output
        linear.record(recorder, CHOSEN.length);
      };
    },
    result: [{ buffer: y, offset: 0, size: expected.length * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected,
    row: outputs,
  });
  return [check('decode'), check('prefill')];
}
