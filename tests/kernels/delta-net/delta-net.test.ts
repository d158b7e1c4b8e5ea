import { describe, expect, it } from 'vitest';
import { deltaStateFloats, deltaWidths, stateBytes } from '../../../src/config/delta-net.ts';
import type { DeltaNet } from '../../../src/config/model-config.ts';
import { UNIT_BYTES } from '../../../src/kernels/formats/page-forms.ts';
import { causalConvKernel } from '../../../src/kernels/delta-net/causal-conv.ts';
import { deltaRuleKernel } from '../../../src/kernels/delta-net/delta-rule.ts';
import { gatedNormKernel } from '../../../src/kernels/delta-net/gated-norm.ts';
import { sigmoidMulKernel } from '../../../src/kernels/sigmoid-mul.ts';
import { batchTable } from '../../../src/layers/batch.ts';
import { deltaStep } from '../../../src/reference/kernels/delta-rule.ts';
import { norm, type Rows, silu } from '../../../src/reference/operations.ts';
import { expectClose } from '../../support/kernels/expect-close.ts';
import { CLASSES, describeVariants } from '../../support/kernels/runner.ts';
import { Random } from '../../support/random.ts';

const NETS: Record<string, DeltaNet> = {
  'heads of 16': { numKeyHeads: 2, numValueHeads: 4, headDim: 16, taps: 4, valueHeads: 'tiled', layers: [0] },
  'heads of 128, neighbours served': { numKeyHeads: 2, numValueHeads: 4, headDim: 128, taps: 4, valueHeads: 'grouped', layers: [0] },
  'heads of 48, a convolution over two': { numKeyHeads: 4, numValueHeads: 4, headDim: 48, taps: 2, valueHeads: 'tiled', layers: [0] },
};

/** Texts of a batch, each with so many tokens; whether they were begun before. */
const BATCHES: Record<string, { texts: number; runTokens: number; known: (text: number) => boolean }> = {
  'the first token': { texts: 1, runTokens: 1, known: () => false },
  'a text from its beginning': { texts: 1, runTokens: 7, known: () => false },
  'a text that goes on': { texts: 1, runTokens: 33, known: () => true },
  'two tokens, fewer than the convolution takes in': { texts: 1, runTokens: 2, known: () => true },
  'three texts, one of which begins': { texts: 3, runTokens: 1, known: (text) => text !== 1 },
};

/** Where each text's states lie, in places for one, out of order. */
const PLACES = [[4, 1], [0, 3], [5, 2]] as const;

describe.each(Object.entries(NETS))('%s', (_net, net) => {
  const { numKeyHeads, numValueHeads, headDim, taps } = net;
  const { convolved: width, projected, values } = deltaWidths(net);
  const stateFloats = stateBytes(net) / 4;
  const places = (texts: number, known: (text: number) => boolean): Uint32Array<ArrayBuffer> =>
    Uint32Array.from(PLACES.slice(0, texts).flatMap(([from, to], text) => [(from * stateFloats * 4) / UNIT_BYTES, (to * stateFloats * 4) / UNIT_BYTES, known(text) ? 1 : 0, 0]));
  const table = (texts: number, runTokens: number) =>
    batchTable(Array.from({ length: texts * runTokens }, (_, t) => ({ place: 0, position: 100 + t, firstPage: Math.floor(t / runTokens), page: 0 })));
  /** Of a state's head: row k, column i. */
  const at = (head: number, k: number, i: number): number => ((head * (headDim / 4) + Math.floor(k / 4)) * headDim + i) * 4 + (k % 4);

  describeVariants(CLASSES, (getRunner) => {
    it.each(Object.entries(BATCHES))('%s', async (_batch, { texts, runTokens, known }) => {
      const runner = getRunner();
      const random = new Random(5);
      const tokens = texts * runTokens;
      const x = random.normals(tokens * projected, 1);
      const weights = random.normals(taps * width, 1);
      const before = random.normals(6 * stateFloats, 1);
      const [rate, bias] = [random.normals(numValueHeads, 1).map((value) => -Math.exp(value - 1)), random.normals(numValueHeads, 1)];
      const shared = { batch_table: runner.upload(table(texts, runTokens)), places: runner.upload(places(texts, known)), x: runner.upload(x) };
      const size = { tokens, runTokens };

      const columns = (text: number, back: number): Float32Array => {
        const start = PLACES[text]![0] * stateFloats + deltaStateFloats(net) + (back - 1) * width;
        return known(text) ? before.subarray(start, start + width) : new Float32Array(width);
      };
      const taken = (text: number, t: number): Float32Array => (t < 0 ? columns(text, -t) : x.subarray((text * runTokens + t) * projected, (text * runTokens + t) * projected + width));
      const [state, mixed] = [runner.upload(before), runner.empty(tokens * width * 4)];
      runner.run(causalConvKernel(runner.device, net), { ...shared, taps: runner.upload(weights), state, y: mixed }, size, size);
      const wantMixed = Float64Array.from({ length: tokens * width }, (_, i) => {
        const [text, t, column] = [Math.floor(i / width / runTokens), Math.floor(i / width) % runTokens, i % width];
        let sum = 0;
        for (let back = 0; back < taps; back++) sum += weights[back * width + column]! * taken(text, t - back)[column]!;
        return silu(sum);
      });
      expectClose('causal-conv', await runner.floats(mixed), wantMixed);
      const kept = await runner.floats(state);
      for (let text = 0; text < texts; text++) {
        const start = PLACES[text]![1] * stateFloats + deltaStateFloats(net);
        for (let back = 0; back < taps - 1; back++) expect(kept.slice(start + back * width, start + (back + 1) * width), `kept ${back}`).toEqual(taken(text, runTokens - 1 - back).slice());
      }

      const convolved = random.normals(tokens * width, 1);
      const y = runner.empty(tokens * values * 4);
      const bounds = { ...shared, convolved: runner.upload(convolved), decay_rate: runner.upload(rate), decay_bias: runner.upload(bias), state, y };
      runner.run(deltaRuleKernel(runner.device, net), bounds, size, size);
      const want = new Float64Array(tokens * values);
      const found = await runner.floats(state);
      const [left, wantLeft] = [new Float64Array(texts * deltaStateFloats(net)), new Float64Array(texts * deltaStateFloats(net))];
      for (let text = 0; text < texts; text++) {
        for (let head = 0; head < numValueHeads; head++) {
          const [from, to] = PLACES[text]!.map((place) => place * stateFloats) as [number, number];
          const own: Rows = Array.from({ length: headDim }, (_, k) => Float64Array.from({ length: headDim }, (_, i) => (known(text) ? before[from + at(head, k, i)]! : 0)));
          for (let t = text * runTokens; t < (text + 1) * runTokens; t++) {
            const part = (i: number): Float64Array => Float64Array.from(convolved.subarray(t * width + i * headDim, t * width + (i + 1) * headDim));
            const gate = (i: number): number => x[t * projected + width + values + i]!;
            const keyHead = net.valueHeads === 'tiled' ? head % numKeyHeads : Math.floor((head * numKeyHeads) / numValueHeads);
            const decay = Math.exp(rate[head]! * Math.log1p(Math.exp(gate(numValueHeads + head) + bias[head]!)));
            const token = { query: part(keyHead), key: part(numKeyHeads + keyHead), value: part(2 * numKeyHeads + head), beta: 1 / (1 + Math.exp(-gate(head))), decay };
            want.set(deltaStep(own, token), (t * numValueHeads + head) * headDim);
          }
          own.forEach((row, k) => row.forEach((value, i) => {
            const place = text * deltaStateFloats(net) + (head * headDim + k) * headDim + i;
            wantLeft[place] = value;
            left[place] = found[to + at(head, k, i)]!;
          }));
        }
      }
      expectClose('delta-rule', await runner.floats(y), want);
      expectClose('delta-rule', left, wantLeft);
      // What was read is as it was.
      for (const [from] of PLACES.slice(0, texts)) expect(found.slice(from * stateFloats, (from + 1) * stateFloats)).toEqual(before.slice(from * stateFloats, (from + 1) * stateFloats));
    });

    it.each([1, 2, 33])('norms and gates heads of %i tokens', async (tokens) => {
      const runner = getRunner();
      const random = new Random(6);
      const [x, y, weight] = [random.normals(tokens * projected, 3), random.normals(tokens * values, 2), random.normals(headDim, 1)];
      const output = runner.upload(y);
      runner.run(gatedNormKernel(runner.device, net, 1e-6), { x: runner.upload(x), norm_weight: runner.upload(weight), y: output }, { tokens }, { tokens });
      const want = Array.from({ length: tokens * numValueHeads }, (_, row) => {
        const gates = Math.floor(row / numValueHeads) * projected + width + (row % numValueHeads) * headDim;
        return norm([Float64Array.from(y.subarray(row * headDim, (row + 1) * headDim))], weight, 1e-6)[0]!.map((value, i) => value * silu(x[gates + i]!));
      });
      expectClose('rms-norm', await runner.floats(output), Float64Array.from(want.flatMap((row) => [...row])));
    });
  });
});

describe('sigmoid-mul', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each([1, 2, 65])('gates what %i tokens attend to', async (tokens) => {
      const runner = getRunner();
      const heads = { numHeads: 3, numKvHeads: 1, headDim: 16, qkNorm: true, rmsNormEps: 1e-6, gatesAttention: true };
      const [width, row] = [48, 128];
      const random = new Random(7);
      const [x, y] = [random.normals(tokens * row, 3), random.normals(tokens * width, 1)];
      x.set([-1e4, 1e4], width);
      const output = runner.upload(y);
      runner.run(sigmoidMulKernel(runner.device, heads), { x: runner.upload(x), y: output }, { tokens });
      const want = Float64Array.from(y, (value, i) => value / (1 + Math.exp(-x[Math.floor(i / width) * row + width + (i % width)]!)));
      expectClose('silu-mul', await runner.floats(output), want, (i) => Math.abs(want[i] ?? 0) + 1e-6);
    });
  });
});
