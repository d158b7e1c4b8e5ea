import { describe, expect, it } from 'vitest';
import {
  broughtFloats,
  type DeltaNet,
  deltaStateFloats,
  deltaWidths,
  stateBytes,
  tailBytes,
} from '../../../src/config/model-config.ts';
import { UNIT_BYTES } from '../../../src/kernels/formats/page-forms.ts';
import { causalConvKernel, deltaRuleKernel, gatedNormKernel } from '../../../src/kernels/recurrent.ts';
import { sigmoidMulKernel } from '../../../src/kernels/element-wise.ts';
import { batchTable } from '../../../src/layers/batch.ts';
import { deltaStep } from '../../reference/kernels/delta-rule.ts';
import { norm, type Rows, silu } from '../../reference/operations.ts';
import { expectClose } from '../../support/kernels/expect-close.ts';
import { CLASSES, describeVariants } from '../../support/kernels/runner.ts';
import { Random } from '../../support/random.ts';
import { byTier } from '../../support/tier.ts';

const NETS: Record<string, DeltaNet> = {
  'heads of 16': { numKeyHeads: 2, numValueHeads: 4, headDim: 16, taps: 4, valueHeads: 'tiled', layers: [0] },
  'heads of 128, neighbours served': {
    numKeyHeads: 2,
    numValueHeads: 4,
    headDim: 128,
    taps: 4,
    valueHeads: 'grouped',
    layers: [0],
  },
  'heads of 48, a convolution over two': {
    numKeyHeads: 4,
    numValueHeads: 4,
    headDim: 48,
    taps: 2,
    valueHeads: 'tiled',
    layers: [0],
  },
};

interface Batch {
  /** Number of sequences. */
  texts: number;
  /** Tokens of each sequence. */
  runTokens: number;
  /** Whether the sequences have states. */
  known: (text: number) => boolean;
  /** Tokens after their states; default: none. */
  tails?: readonly number[];
  /** Last tokens of each sequence that may be rejected; default: none. */
  drafted?: number;
}

const BATCHES: Record<string, Batch> = {
  'the first token': { texts: 1, runTokens: 1, known: () => false },
  'a text from its beginning': { texts: 1, runTokens: 7, known: () => false },
  'a text that goes on': { texts: 1, runTokens: 33, known: () => true },
  'two tokens, fewer than the convolution takes in': { texts: 1, runTokens: 2, known: () => true },
  'three texts, one of which begins': { texts: 3, runTokens: 1, known: (text) => text !== 1 },
  'a draft': { texts: 1, runTokens: 8, known: () => true, drafted: 7 },
  'a draft at the beginning': { texts: 1, runTokens: 2, known: () => false, drafted: 1 },
  'a draft past another': { texts: 1, runTokens: 4, known: () => true, tails: [2], drafted: 3 },
  'a prompt past all of a draft': { texts: 1, runTokens: 33, known: () => true, tails: [7] },
  'three texts past drafts of their own': {
    texts: 3,
    runTokens: 1,
    known: (text) => text !== 1,
    tails: [1, 0, 7],
  },
};

/** Batches for heads of other sizes. */
const OTHER_SIZES: readonly string[] = [
  'two tokens, fewer than the convolution takes in',
  'a draft past another',
  'three texts past drafts of their own',
];

/** Places of each sequence's states, shuffled. */
const PLACES = [
  [4, 1],
  [0, 3],
  [5, 2],
] as const;

describe.each(byTier(Object.entries(NETS).slice(0, 1), Object.entries(NETS)))('%s', (_net, net) => {
  const { numKeyHeads, numValueHeads, headDim, taps } = net;
  const { convolved: width, projected, values } = deltaWidths(net);
  const stateFloats = (stateBytes(net) + tailBytes(net)) / 4;
  const places = ({ texts, known, tails = [], drafted = 0 }: Batch): Uint32Array<ArrayBuffer> =>
    Uint32Array.from(
      PLACES.slice(0, texts).flatMap(([from, to], text) =>
        [from, to]
          .map((place) => (place * stateFloats * 4) / UNIT_BYTES)
          .concat(known(text) ? 1 + (tails[text] ?? 0) : 0, drafted),
      ),
    );
  const table = (texts: number, runTokens: number) =>
    batchTable(
      Array.from({ length: texts * runTokens }, (_, t) => ({
        place: 0,
        position: 100 + t,
        firstPage: Math.floor(t / runTokens),
        page: 0,
      })),
    );
  /** Index of row k and column i in the state of a head. */
  const at = (head: number, k: number, i: number): number =>
    ((head * (headDim / 4) + Math.floor(k / 4)) * headDim + i) * 4 + (k % 4);

  describeVariants(CLASSES, (getRunner) => {
    // Which tokens and states are read does not depend on the size of heads: other sizes have some of the batches.
    const isPlain = headDim === 16;
    const batches = Object.entries(BATCHES).filter(([name]) => isPlain || OTHER_SIZES.includes(name));
    it.each(batches)('%s', async (_batch, batch) => {
      const { texts, runTokens, known, tails = [], drafted = 0 } = batch;
      const runner = getRunner();
      const random = new Random(5);
      const tokens = texts * runTokens;
      const x = random.normals(tokens * projected, 1);
      const weights = random.normals(taps * width, 1);
      const before = random.normals(6 * stateFloats, 1);
      const [rate, bias] = [
        random.normals(numValueHeads, 1).map((value) => -Math.exp(value - 1)),
        random.normals(numValueHeads, 1),
      ];
      const shared = { batch_table: runner.upload(table(texts, runTokens)), places: runner.upload(places(batch)) };
      const past = Math.max(0, ...tails);
      const rows = past + runTokens;
      const size = { tokens, runTokens, past };
      const tailOf = (text: number): number => tails[text] ?? 0;
      /** Inputs of a sequence's t-th token in the batch (t < 0: before it): convolved columns, then two numbers of each head. */
      const rowOf = (text: number, t: number): Float32Array => {
        const [from] = PLACES[text]!;
        const start = from * stateFloats + stateBytes(net) / 4 + (tailOf(text) + t) * broughtFloats(net);
        if (t < 0) return before.slice(start, start + broughtFloats(net));
        const own = x.subarray((text * runTokens + t) * projected, (text * runTokens + t + 1) * projected);
        return Float32Array.from([...own.subarray(0, width), ...own.subarray(width + values)]);
      };
      const taken = (text: number, t: number): Float32Array => {
        if (t >= -tailOf(text)) return rowOf(text, t).subarray(0, width);
        const start = PLACES[text]![0] * stateFloats + deltaStateFloats(net) + (-t - tailOf(text) - 1) * width;
        return known(text) ? before.slice(start, start + width) : new Float32Array(width);
      };
      const brought = broughtFloats(net);
      const [state, mixed] = [runner.upload(before), runner.empty(texts * rows * brought * 4)];
      runner.run(
        causalConvKernel(runner.device, net),
        { ...shared, x: runner.upload(x), taps: runner.upload(weights), state, y: mixed },
        size,
        size,
      );
      const foundMixed = await runner.floats(mixed);
      const [mixedRows, wantMixed] = [
        new Float64Array(texts * rows * brought),
        new Float64Array(texts * rows * brought),
      ];
      for (let text = 0; text < texts; text++) {
        for (let t = -tailOf(text); t < runTokens; t++) {
          const at = (text * rows + past + t) * brought;
          mixedRows.set(foundMixed.subarray(at, at + brought), at);
          wantMixed.set(rowOf(text, t), at); // its last columns are copied
          for (let column = 0; column < width; column++) {
            let sum = 0;
            for (let back = 0; back < taps; back++)
              sum += weights[back * width + column]! * taken(text, t - back)[column]!;
            wantMixed[at + column] = silu(sum);
          }
        }
      }
      expectClose('causal-conv', mixedRows, wantMixed);
      const kept = await runner.floats(state);
      for (let text = 0; text < texts; text++) {
        const start = PLACES[text]![1] * stateFloats + deltaStateFloats(net);
        const last = runTokens - drafted - 1;
        for (let back = 0; back < taps - 1; back++)
          expect(kept.slice(start + back * width, start + (back + 1) * width), `kept ${back}`).toEqual(
            taken(text, last - back).slice(),
          );
        const tail = PLACES[text]![1] * stateFloats + stateBytes(net) / 4;
        for (let i = 0; i < drafted; i++)
          expect(kept.slice(tail + i * broughtFloats(net), tail + (i + 1) * broughtFloats(net)), `tail ${i}`).toEqual(
            rowOf(text, last + 1 + i),
          );
      }

      const convolved = random.normals(texts * rows * brought, 1);
      const y = runner.empty(tokens * values * 4);
      const bounds = {
        ...shared,
        x: runner.upload(convolved),
        decay_rate: runner.upload(rate),
        decay_bias: runner.upload(bias),
        state,
        y,
      };
      runner.run(deltaRuleKernel(runner.device, net), bounds, size, size);
      const want = new Float64Array(tokens * values);
      const found = await runner.floats(state);
      const [left, wantLeft] = [
        new Float64Array(texts * deltaStateFloats(net)),
        new Float64Array(texts * deltaStateFloats(net)),
      ];
      for (let text = 0; text < texts; text++) {
        for (let head = 0; head < numValueHeads; head++) {
          const [from, to] = PLACES[text]!.map((place) => place * stateFloats) as [number, number];
          const own: Rows = Array.from({ length: headDim }, (_, k) =>
            Float64Array.from({ length: headDim }, (_, i) => (known(text) ? before[from + at(head, k, i)]! : 0)),
          );
          const leftRows = own.map((row) => row.slice());
          for (let t = -tailOf(text); t < runTokens; t++) {
            const start = (text * rows + past + t) * brought;
            const part = (i: number): Float64Array =>
              Float64Array.from(convolved.subarray(start + i * headDim, start + (i + 1) * headDim));
            const gate = (i: number): number => convolved[start + width + i]!;
            const keyHead =
              net.valueHeads === 'tiled' ? head % numKeyHeads : Math.floor((head * numKeyHeads) / numValueHeads);
            const decay = Math.exp(rate[head]! * Math.log1p(Math.exp(gate(numValueHeads + head) + bias[head]!)));
            const token = {
              query: part(keyHead),
              key: part(numKeyHeads + keyHead),
              value: part(2 * numKeyHeads + head),
              beta: 1 / (1 + Math.exp(-gate(head))),
              decay,
            };
            const found = deltaStep(own, token);
            if (t >= 0) want.set(found, ((text * runTokens + t) * numValueHeads + head) * headDim);
            if (t === runTokens - drafted - 1) own.forEach((row, k) => leftRows[k]!.set(row));
          }
          leftRows.forEach((row, k) =>
            row.forEach((value, i) => {
              const place = text * deltaStateFloats(net) + (head * headDim + k) * headDim + i;
              wantLeft[place] = value;
              left[place] = found[to + at(head, k, i)]!;
            }),
          );
        }
      }
      expectClose('delta-rule', await runner.floats(y), want);
      expectClose('delta-rule', left, wantLeft);
      // The states that were read have not changed.
      for (const [from] of PLACES.slice(0, texts))
        expect(found.slice(from * stateFloats, (from + 1) * stateFloats)).toEqual(
          before.slice(from * stateFloats, (from + 1) * stateFloats),
        );
    });

    it.each(isPlain ? [1, 2, 33] : [2])('norms and gates heads of %i tokens', async (tokens) => {
      const runner = getRunner();
      const random = new Random(6);
      const [x, y, weight] = [
        random.normals(tokens * projected, 3),
        random.normals(tokens * values, 2),
        random.normals(headDim, 1),
      ];
      const output = runner.upload(y);
      runner.run(
        gatedNormKernel(runner.device, net, 1e-6),
        { x: runner.upload(x), norm_weight: runner.upload(weight), y: output },
        { tokens },
        { tokens },
      );
      const want = Array.from({ length: tokens * numValueHeads }, (_, row) => {
        const gates = Math.floor(row / numValueHeads) * projected + width + (row % numValueHeads) * headDim;
        return norm([Float64Array.from(y.subarray(row * headDim, (row + 1) * headDim))], weight, 1e-6)[0]!.map(
          (value, i) => value * silu(x[gates + i]!),
        );
      });
      expectClose('rms-norm', await runner.floats(output), Float64Array.from(want.flatMap((row) => [...row])));
    });
  });
});

describe('sigmoid-mul', () => {
  describeVariants(CLASSES, (getRunner) => {
    it.each([1, 2, 65])('gates the attention outputs of %i tokens', async (tokens) => {
      const runner = getRunner();
      const heads = { numHeads: 3, numKvHeads: 1, headDim: 16, qkNorm: true, rmsNormEps: 1e-6, gatesAttention: true };
      const [width, row] = [48, 128];
      const random = new Random(7);
      const [x, y] = [random.normals(tokens * row, 3), random.normals(tokens * width, 1)];
      x.set([-1e4, 1e4], width);
      const output = runner.upload(y);
      runner.run(sigmoidMulKernel(runner.device, heads), { x: runner.upload(x), y: output }, { tokens });
      const want = Float64Array.from(
        y,
        (value, i) => value / (1 + Math.exp(-x[Math.floor(i / width) * row + width + (i % width)]!)),
      );
      expectClose('gated-activation', await runner.floats(output), want, (i) => Math.abs(want[i] ?? 0) + 1e-6);
    });
  });
});
