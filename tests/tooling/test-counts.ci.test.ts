import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { addCounts, isSuccess, readVitestCounts, sumLine } from '../../tools/test-counts.ts';

const ROOT = resolve(import.meta.dirname, '../..');

let folder = '';

beforeEach(() => {
  mkdirSync(join(ROOT, '.cache'), { recursive: true });
  folder = mkdtempSync(join(ROOT, '.cache/test-counts-')); // inside the repository, so that vitest resolves
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Runs vitest on one file with this body and counts what it reports. */
function countsOf(body: string) {
  writeFileSync(join(folder, 'a.test.ts'), `import { beforeAll, it, expect } from 'vitest';\n${body}`);
  writeFileSync(join(folder, 'vitest.config.ts'), 'export default {};'); // overrides the repository's
  const report = join(folder, 'report.json');
  const args = ['vitest', 'run', '--root', folder, '--reporter=json', `--outputFile=${report}`];
  const { status } = spawnSync('npx', args, { cwd: ROOT, stdio: 'ignore' });
  return readVitestCounts(report, status === 0);
}

it.each([
  ['passing tests', `it('a', () => {}); it('b', () => {});`, '2 passed, 0 failed, 0 skipped'],
  ['a failing test', `it('a', () => {}); it('b', () => expect(1).toBe(2));`, '1 passed, 1 failed, 0 skipped'],
  ['skipped tests', `it('a', () => {}); it.skip('b', () => {}); it.todo('c');`, '1 passed, 0 failed, 2 skipped'],
  ['a file that does not load', `throw new Error('no');`, '0 passed, 1 failed, 0 skipped'],
  ['a file without tests', '', '0 passed, 1 failed, 0 skipped'],
  [
    'a failing hook',
    `beforeAll(() => { throw new Error('no'); }); it('a', () => {});`,
    '0 passed, 1 failed, 1 skipped',
  ],
  [
    'an error outside any test',
    `it('a', () => void setTimeout(() => { throw new Error('no'); }));
    it('b', () => new Promise((done) => setTimeout(done, 50)));`,
    '2 passed, 1 failed, 0 skipped',
  ],
  ['a crash', `it('a', () => process.kill(process.pid, 'SIGKILL'));`, '0 passed, 1 failed, 0 skipped'],
])('counts %s', (_what, body, line) => {
  expect(sumLine(countsOf(body))).toBe(line);
});

it('treats a missing report as a failure', () => {
  expect(readVitestCounts(join(folder, 'none.json'), true)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

it('succeeds only if tests ran and none failed or was skipped', () => {
  const sum = addCounts({ passed: 1, failed: 0, skipped: 0 }, { passed: 2, failed: 0, skipped: 0 });
  expect(sumLine(sum)).toBe('3 passed, 0 failed, 0 skipped');
  expect(isSuccess(sum)).toBe(true);
  expect(isSuccess({ passed: 0, failed: 0, skipped: 0 })).toBe(false);
  expect(isSuccess({ passed: 1, failed: 1, skipped: 0 })).toBe(false);
  expect(isSuccess({ passed: 1, failed: 0, skipped: 1 })).toBe(false);
});
