import { describe, expect, it } from 'vitest';
import { joinNormsKernel, keepStatesKernel } from '../../../src/kernels/draft.ts';
import { batchTable } from '../../../src/layers/batch.ts';
import { norm } from '../../reference/operations.ts';
import { expectClose } from '../../support/kernels/expect-close.ts';
import { describeVariants, SUBGROUP_VARIANTS } from '../../support/kernels/runner.ts';
import { Random } from '../../support/random.ts';

const EPS = 1e-5;
const POSITIONS = 100;
/** Tokens of a batch, consecutive. */
const BATCHES = [1, 3, 33];
const START = 40;
/** First page-table entry of the sequence whose states are kept; every third token, from the second on, is another sequence's. */
const FIRST_PAGE = 32;
const isOther = (t: number): boolean => t % 3 === 1;

describe.each([64, 576, 2560])('rows of %i', (width) => {
  const row = (values: Float32Array, at: number): Float64Array =>
    Float64Array.from(values.subarray(at * width, (at + 1) * width));
  const tableOf = (tokens: number) =>
    batchTable(
      Array.from({ length: tokens }, (_, t) => ({
        place: 0,
        position: START + t,
        firstPage: isOther(t) ? 0 : FIRST_PAGE,
        page: 0,
      })),
    );

  describeVariants(SUBGROUP_VARIANTS, (getRunner) => {
    it.each(BATCHES)('joins %i tokens with the states before them', async (tokens) => {
      const runner = getRunner();
      const random = new Random(4);
      const [x, states] = [random.normals(tokens * width, 3), random.normals(POSITIONS * width, 0.2)];
      const [tokenWeight, stateWeight] = [random.normals(width, 1), random.normals(width, 1)];
      const y = runner.empty(2 * tokens * width * 4);
      const bounds = {
        batch_table: runner.upload(tableOf(tokens)),
        x: runner.upload(x),
        states: runner.upload(states),
        token_weight: runner.upload(tokenWeight),
        state_weight: runner.upload(stateWeight),
        y,
      };
      runner.run(joinNormsKernel(runner.device, width, EPS), bounds, { tokens }, { tokens });
      const want = Array.from({ length: tokens }, (_, t) => [
        norm([row(x, t)], tokenWeight, EPS)[0]!,
        norm([row(states, START + t)], stateWeight, EPS)[0]!,
      ]);
      expectClose('rms-norm', await runner.floats(y), Float64Array.from(want.flat().flatMap((values) => [...values])));
    });

    it.each(BATCHES)('keeps the states after %i tokens, and no others', async (tokens) => {
      const runner = getRunner();
      const random = new Random(5);
      const [x, weight, before] = [
        random.normals(tokens * width, 3),
        random.normals(width, 1),
        random.normals(POSITIONS * width, 1),
      ];
      const first = START + Math.ceil(tokens / 2);
      const states = runner.upload(before);
      const bounds = {
        batch_table: runner.upload(tableOf(tokens)),
        x: runner.upload(x),
        norm_weight: runner.upload(weight),
        first: runner.upload(new Uint32Array([first, FIRST_PAGE])),
        states,
      };
      runner.run(keepStatesKernel(runner.device, width, EPS), bounds, { tokens }, { tokens });
      const found = await runner.floats(states);
      const kept = Array.from({ length: tokens }, (_, t) => t).filter((t) => START + t + 1 >= first && !isOther(t));
      expectClose(
        'rms-norm',
        Float64Array.from(kept.flatMap((t) => [...row(found, START + t + 1)])),
        Float64Array.from(kept.flatMap((t) => [...norm([row(x, t)], weight, EPS)[0]!])),
      );
      for (let position = 0; position < POSITIONS; position++) {
        if (kept.includes(position - START - 1)) continue;
        expect(row(found, position)).toEqual(row(before, position));
      }
    });
  });
});
