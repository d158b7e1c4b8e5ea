/**
 * Everything that is checked, in one run: npm test [-- PATTERN], where PATTERN picks test files as vitest does.
 * Every step runs, whatever happened to those before. The last line sums all runners.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureModel } from './setup/fetch-model.ts';
import { ensureSystem } from './setup/system.ts';
import type { Counts } from './test-counts.ts';
import { addCounts, isSuccess, readVitestCounts, sumLine } from './test-counts.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PASSED: Counts = { passed: 1, failed: 0, skipped: 0 };
const FAILED: Counts = { passed: 0, failed: 1, skipped: 0 };
const NOTHING: Counts = { passed: 0, failed: 0, skipped: 0 };

const patterns = process.argv.slice(2);

interface Step {
  heading: string;
  run: () => Promise<Counts>;
}

/** Runs a command; prints what it says at once, or all of it when it has ended, where others run beside it. */
function run(output: 'at once' | 'at the end', command: string, ...args: string[]): Promise<boolean> {
  return new Promise((resolve) => {
    const stdio = output === 'at once' ? 'inherit' : 'pipe';
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', stdio, stdio] });
    const said: Buffer[] = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes: Buffer) => said.push(bytes));
    child.once('error', (error) => {
      console.error(error.message);
      resolve(false);
    });
    child.once('close', (code) => {
      process.stdout.write(Buffer.concat(said));
      resolve(code === 0);
    });
  });
}

/** Readies what later steps need: no test by itself, but a failure when it cannot be done. */
const prepare = (heading: string, work: () => void | Promise<unknown>): Step => ({
  heading,
  run: async () => {
    await work();
    return NOTHING;
  },
});

/** An npm script that counts as one test. */
const script = (heading: string, name: string): Step => ({
  heading,
  run: async () => ((await run('at the end', 'npm', 'run', '--silent', name)) ? PASSED : FAILED),
});

const vitest = (heading: string): Step => ({
  heading,
  run: async () => {
    const report = join(ROOT, '.cache/test-reports/vitest.json');
    mkdirSync(join(ROOT, '.cache/test-reports'), { recursive: true });
    rmSync(report, { force: true });
    const output = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`];
    const filter = patterns.length > 0 ? [...patterns, '--passWithNoTests'] : [];
    const succeeded = await run('at once', 'npx', 'vitest', 'run', ...output, ...filter);
    return readVitestCounts(report, succeeded);
  },
});

/** One after another; the lists within a stage run beside each other, since most of these tools use one core. */
const STAGES: Step[][][] = [
  [[prepare('System packages', ensureSystem), prepare('Default model', ensureModel)]],
  [
    [script('Lint and layers', 'lint'), script('Types', 'typecheck'), script('Documentation of the API', 'docs')],
    [
      script('Package build', 'build'),
      script('Package: what publint and are-the-types-wrong say', 'check:package'),
      script('Package: sizes', 'check:size'),
      script('Package: API report', 'check:api'),
      script('Demo build', 'build:demo'),
    ],
  ],
  [[vitest('Tests')]],
];

let total = NOTHING;
const summary: string[] = [];

async function take({ heading, run }: Step): Promise<void> {
  console.log(`\n=== ${heading} ===`);
  const start = performance.now();
  let counts: Counts;
  try {
    counts = await run();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    counts = FAILED;
  }
  total = addCounts(total, counts);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  const line = `${heading}: ${counts.failed > 0 ? 'FAILED' : 'ok'}, ${seconds} s`;
  console.log(`--- ${line}`);
  summary.push(line);
}

async function takeAll(steps: readonly Step[]): Promise<void> {
  for (const step of steps) await take(step);
}

for (const stage of STAGES) await Promise.all(stage.map(takeAll));

console.log(`\n${summary.join('\n')}\n${sumLine(total)}`);
process.exitCode = isSuccess(total) ? 0 : 1;
