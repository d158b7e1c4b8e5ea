import { describe, expect, it } from 'vitest';
import { createOperation } from '../../src/gpu/recorder.ts';
import { embedKernel } from '../../src/kernels/element-wise.ts';
import { batchTable } from '../../src/layers/batch.ts';
import { Linear } from '../../src/layers/linear.ts';
import { destroyMatrix } from '../../src/layers/weight-matrix.ts';
import { randomMatrix } from '../support/kernels/random-matrix.ts';
import { CLASSES, describeVariants } from '../support/kernels/runner.ts';
import { Random } from '../support/random.ts';

/**
 * Rows of Gemma's vocabulary: with four per workgroup they need more workgroups than a dispatch has in one dimension.
 */
const ROWS = 262_144;
const WIDTH = 32;

describe(`a matrix of ${ROWS} rows`, () => {
  describeVariants(CLASSES, (getRunner) => {
    it('gives every logit of a decoded token, and of three of a prompt', async () => {
      const runner = getRunner();
      const { device, recorder } = runner;
      const random = new Random(1);
      const { matrix, weights } = await randomMatrix(device, 'Q8_0', ROWS, WIDTH, random);
      for (const [kind, tokens] of [
        ['decode', 1],
        ['prefill', 3],
      ] as const) {
        const x = random.normals(tokens * WIDTH);
        const y = runner.upload(new Float32Array(tokens * ROWS).fill(NaN));
        new Linear(device, matrix, { x: runner.upload(x), y, kind }).record(recorder, { kind, tokens });
        const logits = await runner.floats(y);
        let worst = 0;
        for (let i = 0; i < logits.length; i++) {
          let sum = 0;
          const [token, row] = [Math.floor(i / ROWS) * WIDTH, (i % ROWS) * WIDTH];
          for (let column = 0; column < WIDTH; column++)
            sum += (weights[row + column] ?? NaN) * (x[token + column] ?? NaN);
          worst = Math.max(worst, Math.abs(sum - (logits[i] ?? NaN)) || 0);
        }
        expect(logits.length).toBe(tokens * ROWS);
        expect(logits.every(Number.isFinite)).toBe(true);
        expect(worst).toBeLessThan(1e-3);
      }
      destroyMatrix(device, matrix);
    });

    it('embeds the last tokens like the first', async () => {
      const runner = getRunner();
      const { device, recorder } = runner;
      const { matrix, weights } = await randomMatrix(device, 'Q8_0', ROWS, WIDTH, new Random(4));
      const ids = [0, 261_887, 261_888, ROWS - 1];
      const table = ids.map((_, place) => ({ place, position: place, firstPage: 0, page: 0 }));
      const y = runner.empty(ids.length * WIDTH * 4);
      const bound = { batch_table: runner.upload(batchTable(table)), tokens: runner.upload(Uint32Array.from(ids)), y };
      const kernel = embedKernel(device, 'Q8_0', WIDTH, 1);
      for (const { ranges, rowStart, rows } of matrix.slices) {
        const operation = createOperation(device, kernel, { ...ranges, ...bound });
        recorder.run(operation, operation.groups({ tokens: ids.length }), { rowStart, rows });
      }
      const want = ids.flatMap((id) => [...weights.subarray(id * WIDTH, (id + 1) * WIDTH)]);
      const got = await runner.floats(y);
      expect(Math.max(...want.map((value, i) => Math.abs(value - (got[i] ?? NaN))))).toBeLessThan(1e-5);
      destroyMatrix(device, matrix);
    });
  });
});
