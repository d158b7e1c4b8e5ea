import {
  broughtFloats,
  type DeltaNet,
  deltaStateFloats,
  deltaWidths,
  type ModelConfig,
  stateBytes,
  tailBytes,
} from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/recorder.ts';
import type { Check } from '../../gpu/self-check.ts';
import { causalConvKernel, deltaRuleKernel, gatedNormKernel } from '../../kernels/recurrent.ts';
import { UNIT_BYTES } from '../../kernels/formats/page-forms.ts';
import { sigmoidMulKernel } from '../../kernels/element-wise.ts';
import { rowWidth } from '../../kernels/heads.ts';
import { batchTable } from '../../layers/batch.ts';
import { anyHalves, anyNumbers, bufferOf, dot, rmsNormed } from './known-values.ts';
import { ACTIVATIONS } from '../../config/activations.ts';

/**
 * Two texts. The second resumes two tokens after the state that it reads, and its last token is a draft. State 0 is read;
 * states 1 and 2 are written.
 */
const TEXTS = [
  { isKnown: false, tail: 0, to: 1, drafted: 0 },
  { isKnown: true, tail: 2, to: 2, drafted: 1 },
];

/** Checks a delta net's outputs and the recurrent states that it writes. */
export function deltaNetCheck(device: Device, { rmsNormEps }: ModelConfig, net: DeltaNet): Check {
  const { numValueHeads, headDim, taps } = net;
  const { convolved: width, projected, values } = deltaWidths(net);
  const size = { tokens: TEXTS.length * taps, runTokens: taps, past: 2 };
  const next = anyNumbers();
  const inputs: DeltaInputs = {
    ...{
      x: anyHalves(size.tokens * projected, next),
      weights: anyHalves(taps * width, next),
      before: anyHalves((stateBytes(net) + tailBytes(net)) / 4, next),
    },
    ...{
      rate: anyHalves(numValueHeads, next).map((value) => -Math.abs(value)),
      bias: anyHalves(numValueHeads, next),
      headNorm: anyHalves(headDim, next),
    },
  };
  const floats = inputs.before.length;
  const state = bufferOf(device, new Float32Array(3 * floats));
  const table = batchTable(
    Array.from({ length: size.tokens }, (_, t) => ({
      place: 0,
      position: 40 + t,
      firstPage: Math.floor(t / taps),
      page: 0,
    })),
  );
  const places = Uint32Array.from(
    TEXTS.flatMap(({ isKnown, tail, to, drafted }) => [
      0,
      (to * floats * 4) / UNIT_BYTES,
      Number(isKnown) + tail,
      drafted,
    ]),
  );
  const [mixed, y] = [
    bufferOf(device, new Float32Array(TEXTS.length * (size.past + taps) * broughtFloats(net))),
    bufferOf(device, new Float32Array(size.tokens * values)),
  ];
  const shared = { batch_table: bufferOf(device, table), places: bufferOf(device, places), state };
  const x = bufferOf(device, inputs.x);
  const [weights, rate, bias, headNorm] = [inputs.weights, inputs.rate, inputs.bias, inputs.headNorm].map((each) =>
    bufferOf(device, each),
  );
  return {
    name: `delta-rule × ${headDim}`,
    make() {
      const convolve = createOperation(device, causalConvKernel(device, net), {
        ...shared,
        x,
        taps: weights!,
        y: mixed,
      });
      const mix = createOperation(device, deltaRuleKernel(device, net), {
        ...shared,
        x: mixed,
        decay_rate: rate!,
        decay_bias: bias!,
        y,
      });
      const norm = createOperation(device, gatedNormKernel(device, net, rmsNormEps), { x, norm_weight: headNorm!, y });
      return (recorder) => {
        for (let i = 0; i <= TEXTS.length; i++)
          device.gpuDevice.queue.writeBuffer(state, i * floats * 4, inputs.before);
        recorder.run(convolve, convolve.groups(size), size);
        recorder.run(mix, mix.groups(size), size);
        recorder.run(norm, norm.groups(size), size);
      };
    },
    result: [
      { buffer: y, offset: 0, size: size.tokens * values * 4 },
      { buffer: state, offset: floats * 4, size: 2 * floats * 4 },
    ],
    read: (bytes) => new Float32Array(bytes),
    expected: plainDeltaNet(net, inputs, rmsNormEps),
    row: headDim,
  };
}

interface DeltaInputs {
  x: Float32Array<ArrayBuffer>;
  weights: Float32Array<ArrayBuffer>;
  /** The state that the second text reads, with its tail. */
  before: Float32Array<ArrayBuffer>;
  rate: Float32Array<ArrayBuffer>;
  bias: Float32Array<ArrayBuffer>;
  headNorm: Float32Array<ArrayBuffer>;
}

/** Reference: outputs of all tokens, then the state that each text writes. */
function plainDeltaNet(
  net: DeltaNet,
  { x, weights, before, rate, bias, headNorm }: DeltaInputs,
  eps: number,
): Float32Array {
  const { numKeyHeads, numValueHeads, headDim, taps, valueHeads } = net;
  const { convolved: width, projected, values } = deltaWidths(net);
  const silu = ACTIVATIONS.silu.compute;
  const expected = new Float32Array(TEXTS.length * (taps * values + before.length));
  TEXTS.forEach(({ isKnown, tail, drafted }, text) => {
    const [keptAt, tailAt] = [deltaStateFloats(net), stateBytes(net) / 4];
    const ofTail = (buffer: Float32Array, i: number): Float32Array =>
      buffer.subarray(tailAt + i * broughtFloats(net)).subarray(0, broughtFloats(net));
    const row = (t: number): Float32Array =>
      x.subarray((text * taps + t) * projected, (text * taps + t + 1) * projected);
    const left = expected.subarray(TEXTS.length * taps * values + text * before.length).subarray(0, before.length);
    left.set(before); // unchanged parts of the tail
    const state = isKnown ? before.slice(0, keptAt) : new Float32Array(keptAt);
    const taken = (t: number): Float32Array => {
      if (t >= 0) return row(t).subarray(0, width);
      if (t >= -tail) return ofTail(before, tail + t).subarray(0, width);
      return isKnown ? before.subarray(keptAt + (-t - tail - 1) * width).subarray(0, width) : new Float32Array(width);
    };
    for (let t = -tail; t < taps; t++) {
      const gates = t < 0 ? ofTail(before, tail + t).subarray(width) : row(t).subarray(width + values);
      const mixed = Float32Array.from({ length: width }, (_, column) => {
        let sum = 0;
        for (let back = 0; back < taps; back++) sum += weights[back * width + column]! * taken(t - back)[column]!;
        return silu(sum);
      });
      for (let head = 0; head < numValueHeads; head++) {
        const part = (i: number): Float32Array => mixed.subarray(i * headDim, (i + 1) * headDim);
        const keyHead = valueHeads === 'tiled' ? head % numKeyHeads : Math.floor(head / (numValueHeads / numKeyHeads));
        const [query, key, value] = [part(keyHead), part(numKeyHeads + keyHead), part(2 * numKeyHeads + head)];
        const token = {
          beta: 1 / (1 + Math.exp(-gates[head]!)),
          decay: Math.exp(rate[head]! * Math.log(1 + Math.exp(gates[numValueHeads + head]! + bias[head]!))),
        };
        const found = step(state.subarray(head * headDim ** 2, (head + 1) * headDim ** 2), query, key, value, token);
        if (t < 0) continue;
        const normed = rmsNormed(found, headNorm, eps).map(
          (each, i) => each * silu(row(t)[width + head * headDim + i]!),
        );
        expected.set(normed, ((text * taps + t) * numValueHeads + head) * headDim);
      }
      if (t === taps - drafted - 1) {
        left.set(state);
        for (let back = 0; back < taps - 1; back++) left.set(taken(t - back), keptAt + back * width);
      }
      if (t >= taps - drafted) ofTail(left, t - taps + drafted).set([...taken(t), ...gates]);
    }
  });
  return expected;
}

/** The delta rule for one token of one head: updates the state (layout: delta-rule.wgsl) and returns the query's output. */
function step(
  state: Float32Array,
  query: Float32Array,
  key: Float32Array,
  value: Float32Array,
  { beta, decay }: { beta: number; decay: number },
): Float32Array {
  const size = value.length;
  const [queryLength, keyLength] = [query, key].map((each) => Math.sqrt(dot(each, each) + 1e-6)) as [number, number];
  return value.map((wanted, i) => {
    const at = (k: number): number => (Math.floor(k / 4) * size + i) * 4 + (k % 4);
    let known = 0;
    for (let k = 0; k < size; k++) known += (state[at(k)]! * decay * key[k]!) / keyLength;
    let found = 0;
    for (let k = 0; k < size; k++) {
      state[at(k)] = state[at(k)]! * decay + (key[k]! / keyLength) * beta * (wanted - known);
      found += (state[at(k)]! * query[k]!) / queryLength;
    }
    return found / Math.sqrt(size);
  });
}

/** Checks the gate of the attention output. */
export function attentionGateCheck(device: Device, config: ModelConfig): Check {
  const tokens = 3;
  const [width, row] = [config.numHeads * config.headDim, rowWidth(config)];
  const next = anyNumbers();
  const [x, attended] = [anyHalves(tokens * row, next).map((value) => 4 * value), anyHalves(tokens * width, next)];
  const [input, y] = [bufferOf(device, x), bufferOf(device, attended)];
  return {
    name: `sigmoid-mul × ${width}`,
    make() {
      const operation = createOperation(device, sigmoidMulKernel(device, config), { x: input, y });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(y, 0, attended);
        recorder.run(operation, operation.groups({ tokens }));
      };
    },
    result: [{ buffer: y, offset: 0, size: tokens * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: attended.map(
      (value, i) => value / (1 + Math.exp(-x[Math.floor(i / width) * row + width + (i % width)]!)),
    ),
    row: width,
  };
}
