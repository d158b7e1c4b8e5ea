/**
 * Everything that is checked, in one run: npm test [-- PATTERN], where PATTERN picks test files as vitest does.
 * Every step runs, whatever happened to those before. The last line sums all runners.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureModel } from './fetch-model.ts';
import { ensureSystem } from './system.ts';
import type { Counts } from './test-counts.ts';
import { addCounts, isSuccess, readVitestCounts, sumLine } from './test-counts.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PASSED: Counts = { passed: 1, failed: 0, skipped: 0 };
const FAILED: Counts = { passed: 0, failed: 1, skipped: 0 };
const NOTHING: Counts = { passed: 0, failed: 0, skipped: 0 };

const patterns = process.argv.slice(2);

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' }).status === 0;
}

/** Readies what later steps need: no test by itself, but a failure when it cannot be done. */
function prepare(work: () => void | Promise<unknown>): () => Promise<Counts> {
  return async () => {
    await work();
    return NOTHING;
  };
}

/** An npm script that counts as one test. */
function script(name: string): () => Counts {
  return () => (run('npm', 'run', '--silent', name) ? PASSED : FAILED);
}

function vitest(...projects: string[]): () => Counts {
  return () => {
    const report = join(ROOT, '.cache/test-reports', `${projects.join('-')}.json`);
    mkdirSync(dirname(report), { recursive: true });
    rmSync(report, { force: true });
    const chosen = projects.flatMap((project) => ['--project', project]);
    const output = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const filter = patterns.length > 0 ? [...patterns, '--passWithNoTests'] : [];
    const succeeded = run('npx', 'vitest', 'run', ...chosen, ...output, ...filter);
    return readVitestCounts(report, succeeded);
  };
}

const STEPS: [heading: string, step: () => Counts | Promise<Counts>][] = [
  ['System packages', prepare(ensureSystem)],
  ['Default model', prepare(ensureModel)],
  ['Lint and layers', script('lint')],
  ['Types', script('typecheck')],
  ['Unit, kernel and engine tests', vitest('cpu', 'gpu')],
  ['Package build', script('build')],
  ['Package: what publint and are-the-types-wrong say', script('check:package')],
  ['Package: sizes', script('check:size')],
  ['Package: API report', script('check:api')],
  ['Documentation of the API', script('docs')],
  ['Demo build', script('build:demo')],
  ['The page in a browser', vitest('e2e')],
];

let total = NOTHING;
const summary: string[] = [];
for (const [heading, step] of STEPS) {
  console.log(`\n=== ${heading} ===`);
  const start = performance.now();
  let counts: Counts;
  try {
    counts = await step();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    counts = FAILED;
  }
  total = addCounts(total, counts);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  summary.push(`${heading}: ${counts.failed > 0 ? 'FAILED' : 'ok'}, ${seconds} s`);
}

console.log(`\n${summary.join('\n')}\n${sumLine(total)}`);
process.exitCode = isSuccess(total) ? 0 : 1;
