import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { judgeBudget, usedCpuSeconds } from '../../tools/test-budget.ts';
import { temporaryFile } from '../support/temporary-file.ts';

it('counts the ticks of a process and its ended children, for any process name', () => {
  const path = temporaryFile();
  writeFileSync(path, '7 (a ) b) S 1 7 7 0 -1 0 0 0 0 0 150 50 1000 200 20 0 1 0 5 0 0');
  expect(usedCpuSeconds(path)).toBe(14);
  expect(usedCpuSeconds(`${path}-none`)).toBeUndefined();
});

it('allows a slow machine more, but never more than its scaled budget', () => {
  expect(judgeBudget(100, 100, 1).kept).toBe(true);
  expect(judgeBudget(101, 100, 1).kept).toBe(false);
  expect(judgeBudget(299, 100, 3)).toEqual({
    kept: true,
    line: 'CPU time: 299 s of a budget of 300 s (100 s on a machine 3.0 times slower than usual)',
  });
});
