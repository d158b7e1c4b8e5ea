import { type LinearGroup, LINEARS, linearShape, linearsOfGroup, linearsOfModel } from '../../architectures/linears.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { Check } from '../../gpu/self-check.ts';
import { Linear, Norm } from '../../layers/linear.ts';
import { LoraDelta, loraInputs, LoraLowering } from '../../layers/lora.ts';
import type { WeightUpload } from '../../layers/weight-upload.ts';
import type { WeightMatrix } from '../../layers/weight-matrix.ts';
import { ACTIVATIONS } from '../../config/activations.ts';
import { anyHalves, anyMatrix, anyNumbers, bufferOf, dot, rmsNormed } from '../../models/checks/known-values.ts';
import type { GgmlType } from '../../weights/ggml-types.ts';
import type { TensorInfo } from '../../weights/tensor-info.ts';
import { CheckedAdapter, type Outputs } from './checked-adapter.ts';
import { levelCheck } from './level-checks.ts';

/** Rows of a matrix: outputs of two linears of a group, where there are two. */
const ROWS = 32;
const DECODED = [1, 2, 3];
const PREFILLED = 9;
/** Whole tiles. */
const ROOM = 16;
/** Numbers that are compared together: those of one token and one linear. */
const ROW = 16;
/** Groups that add to the residual stream, and the groups after them. */
const AFTER: readonly (readonly [LinearGroup, LinearGroup])[] = [
  ...([
    ['output', 'gateUp'],
    ['down', 'qkv'],
    ['convOutput', 'gateUp'],
    ['down', 'convInput'],
  ] as const),
  ...([
    ['deltaOutput', 'gateUp'],
    ['down', 'deltaInput'],
  ] as const),
];
/** The same where all layers have experts, which adapters do not change. */
const AFTER_EXPERTS: typeof AFTER = [['output', 'qkv']];

/** Rows of a group's matrix, in a type that the model has for it. */
interface Part extends Outputs {
  group: LinearGroup;
  type: GgmlType;
  matrix: WeightMatrix;
  weights: Float32Array;
  columns: number;
  /** Outputs of the whole group. */
  width: number;
  isGated: boolean;
}

interface Place {
  device: Device;
  config: ModelConfig;
  adapter: CheckedAdapter;
}

/**
 * Every linear of a model with an adapter: for few tokens in the order of a layer, and for many; and the level of the
 * next token.
 */
export async function adapterChecks(
  device: Device,
  upload: WeightUpload,
  config: ModelConfig,
  tensors: ReadonlyMap<string, TensorInfo>,
): Promise<{ decode: Check[]; prefill: Check[]; level: Check }> {
  const place = { device, config, adapter: new CheckedAdapter(device, config, ROOM) };
  const checks = { decode: [] as Check[], prefill: [] as Check[] };
  const own = new Set(linearsOfModel(config).map((name) => LINEARS[name].group));
  const pairs = own.has('gateUp') ? AFTER : AFTER_EXPERTS;
  for (const [first, next] of pairs.filter((pair) => pair.every((group) => own.has(group)))) {
    const adding = await partsOf(upload, config, first, tensors);
    const after = await partsOf(upload, config, next, tensors);
    checks.prefill.push(...[...adding, ...after].map((part) => prefillCheck(place, part)));
    for (let i = 0; i < Math.max(adding.length, after.length); i++) {
      const pair = { adding: adding[i % adding.length]!, after: after[i % after.length]! };
      checks.decode.push(...DECODED.flatMap((tokens) => decodeChecks(place, pair, tokens)));
    }
  }
  return { ...checks, level: levelCheck(device, place.adapter.arena) };
}

async function partsOf(
  upload: WeightUpload,
  config: ModelConfig,
  group: LinearGroup,
  tensors: ReadonlyMap<string, TensorInfo>,
): Promise<Part[]> {
  const linears = linearsOfGroup(group);
  const isOf = (name: string): boolean => linears.some((linear) => name.endsWith(`.${linear}.weight`));
  const types = new Set([...tensors].filter(([name]) => isOf(name)).map(([, { type }]) => type));
  const widths = linears.map((linear) => linearShape(config, linear)[0]);
  const [, columns] = linearShape(config, linears[0]!);
  const start = widths[0]! - (widths.length > 1 ? ROWS / 2 : ROWS);
  const width = widths.reduce((sum, each) => sum + each, 0);
  const parts: Part[] = [];
  for (const type of types) {
    const { tensor, values: weights } = anyMatrix(type, ROWS, columns, anyNumbers());
    const matrix = await upload.matrix('check', [{ tensor }], { category: 'adapters' });
    parts.push({
      group,
      type,
      matrix,
      weights,
      columns,
      width,
      start,
      count: ROWS,
      isGated: group === 'gateUp' && types.size === 1,
    });
  }
  return parts;
}

/** A · x of many tokens, then W · x + B · A · x. */
function prefillCheck({ device, config, adapter }: Place, part: Part): Check {
  const { group, matrix, columns, width, start, count } = part;
  const x = anyHalves(ROOM * columns, anyNumbers());
  const [input, y] = [bufferOf(device, x), bufferOf(device, new Float32Array(ROOM * width))];
  const inputs = loraInputs(config, group);
  const accumulate = AFTER.some(([first]) => first === group);
  return {
    name: `linear-prefill ${part.type} × ${columns} with adapters`,
    make() {
      const { buffers } = adapter.arena;
      const lowering = new LoraLowering({ device, layer: 0 }, { x: input, columns, inputs }, buffers);
      const linear = new Linear(device, matrix, {
        x: input,
        y,
        outputStart: start,
        outputWidth: width,
        kind: 'prefill',
        accumulate,
        lora: { ...inputs, layer: 0, buffers },
      });
      return (recorder) => {
        const batch = adapter.begin('prefill', PREFILLED);
        device.gpuDevice.queue.writeBuffer(y, 0, new Float32Array(ROOM * width));
        lowering.record(recorder, batch);
        linear.record(recorder, batch);
      };
    },
    result: Array.from({ length: PREFILLED }, (_, token) => ({
      buffer: y,
      offset: (token * width + start) * 4,
      size: count * 4,
    })),
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from({ length: PREFILLED }, (_, token) => [
      ...product(adapter, part, token, x.subarray(token * columns, (token + 1) * columns)),
    ]).flat(),
    row: ROW,
  };
}

/** W · x + B · A · x of a token. */
function product(adapter: CheckedAdapter, part: Part, token: number, x: Float32Array): Float32Array {
  const { group, weights, columns } = part;
  return adapter
    .delta(group, token, x, part)
    .map((added, row) => added + dot(weights.subarray(row * columns, (row + 1) * columns), x));
}

interface Pair {
  adding: Part;
  after: Part;
}

/**
 * The residual stream of few tokens, to which a linear adds and then its adapters; and the group after the next norm,
 * whose A · x is computed with it.
 */
function decodeChecks(place: Place, pair: Pair, tokens: number): Check[] {
  const { hiddenSize } = place.config;
  const { adding, after } = pair;
  const next = anyNumbers();
  const given = {
    x: anyHalves(ROOM * adding.columns, next),
    stream: anyHalves(ROOM * hiddenSize, next),
    weight: anyHalves(hiddenSize, next),
  };
  const made = decodeBuffers(place.device, pair, given);
  const streams = Array.from({ length: tokens }, (_, token) => changedStream(place, adding, token, given));
  const outputs = streams.flatMap((stream, token) => [
    ...afterNorm(place, after, token, rmsNormed(stream, given.weight, place.config.rmsNormEps)),
  ]);
  const check = (name: string, expected: number[], result: Check['result']): Check => ({
    ...{ name: `${name} with adapters`, expected, result, row: ROW },
    read: (bytes) => new Float32Array(bytes),
    make: () => recordingDecode(place, pair, { ...given, ...made }, tokens),
  });
  const { count, start } = placeOf(after);
  const width = after.isGated ? after.width / 2 : after.width;
  return [
    check(
      `linear-decode ${adding.type} × ${adding.columns}`,
      streams.flatMap((stream) => [...stream]),
      [{ buffer: made.between, offset: 0, size: tokens * hiddenSize * 4 }],
    ),
    check(
      `linear-decode ${after.type} × ${after.columns}`,
      outputs,
      streams.map((_, token) => ({ buffer: made.y, offset: (token * width + start) * 4, size: count * 4 })),
    ),
  ];
}

/** The compared outputs that are gates. */
const placeOf = ({ start, count, isGated }: Part): Outputs => ({ start, count: isGated ? count / 2 : count });

interface Given {
  x: Float32Array<ArrayBuffer>;
  stream: Float32Array<ArrayBuffer>;
  weight: Float32Array<ArrayBuffer>;
}

function decodeBuffers(device: Device, { after }: Pair, { x, stream, weight }: Given) {
  const empty = (count: number): GPUBuffer => bufferOf(device, new Float32Array(count));
  return {
    input: bufferOf(device, x),
    before: bufferOf(device, stream),
    normWeight: bufferOf(device, weight),
    between: empty(stream.length),
    normedX: empty(stream.length),
    y: empty(ROOM * after.width),
  };
}

function recordingDecode(
  { device, config, adapter }: Place,
  { adding, after }: Pair,
  made: Given & ReturnType<typeof decodeBuffers>,
  tokens: number,
): ReturnType<Check['make']> {
  const { buffers } = adapter.arena;
  const { input, before, between, normWeight, normedX, y, stream } = made;
  const { hiddenSize: width, residualScale: scale, rmsNormEps, activation } = config;
  const [adds, lowers] = [loraInputs(config, adding.group), loraInputs(config, after.group)];
  const of = (part: Part) => ({
    outputStart: part.start,
    outputWidth: part.isGated ? part.width / 2 : part.width,
    kind: 'decode' as const,
  });
  const first = new Linear(device, adding.matrix, {
    ...of(adding),
    x: input,
    y: before,
    accumulate: true,
    lora: { ...adds, layer: 0, buffers },
  });
  const delta = new LoraDelta(
    { device, layer: 0 },
    { x: before, y: between, width, adds, scale, lowers, normWeight },
    buffers,
  );
  const norm = new Norm(device, normWeight, rmsNormEps, { x: between, output: normedX });
  const gate = after.isGated ? activation : undefined;
  const second = new Linear(device, after.matrix, {
    ...of(after),
    x: between,
    y,
    norm,
    gate,
    lora: { ...lowers, layer: 0, buffers },
  });
  return (recorder) => {
    const batch = adapter.begin('decode', tokens);
    device.gpuDevice.queue.writeBuffer(before, 0, stream);
    first.record(recorder, batch, scale);
    delta.record(recorder, batch);
    second.record(recorder, batch);
  };
}

/** x + scale · (W + B · A) · input, for some rows of W. */
function changedStream({ config, adapter }: Place, adding: Part, token: number, { x, stream }: Given): Float32Array {
  const { hiddenSize, residualScale } = config;
  const input = x.subarray(token * adding.columns, (token + 1) * adding.columns);
  const added = adapter.delta(adding.group, token, input, { start: 0, count: hiddenSize });
  added.set(product(adapter, adding, token, input), adding.start);
  return added.map((value, i) => stream[token * hiddenSize + i]! + residualScale * value);
}

function afterNorm({ adapter, config }: Place, after: Part, token: number, x: Float32Array): Float32Array {
  const sums = product(adapter, after, token, x);
  if (!after.isGated) return sums;
  const half = sums.length / 2;
  return sums.subarray(0, half).map((gate, i) => ACTIVATIONS[config.activation].compute(gate) * sums[half + i]!);
}
