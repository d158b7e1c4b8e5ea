/**
 * Runs the checks of a tier: `npm test` (for a change), `npm run test:rest` (in CI after it) or `npm run test:all`
 * (both). After `--`: test files, selected as in vitest. All steps run, even after a failure. The last line sums all
 * runners.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureModel } from './setup/fetch-model.ts';
import { ensureSystem } from './setup/system.ts';
import { judgeBudget, slowness, usedCpuSeconds } from './test-budget.ts';
import type { Counts } from './test-counts.ts';
import { addCounts, isSuccess, readVitestCounts, slowestFiles, sumLine } from './test-counts.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PASSED: Counts = { passed: 1, failed: 0, skipped: 0 };
const FAILED: Counts = { passed: 0, failed: 1, skipped: 0 };
const NOTHING: Counts = { passed: 0, failed: 0, skipped: 0 };

/**
 * CPU seconds of a tier from a clean clone without caches: a third more than the most observed, which is 1,112 for the
 * change tier, 5,161 for the rest and, as their sum, 6,273 for both.
 */
const BUDGETS = { change: 1500, rest: 6900, all: 8300 };
type Tier = keyof typeof BUDGETS;

const [tier = 'change', ...patterns] = process.argv.slice(2) as [Tier?, ...string[]];
if (!(tier in BUDGETS)) throw new Error(`${tier} is not a tier: ${Object.keys(BUDGETS).join(', ')}`);
process.env['CHUNKWISE_TIER'] = tier;

interface Step {
  heading: string;
  run: () => Promise<Counts>;
}

/** Runs a command; prints its output at once, or at its end if other commands run in parallel. */
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

/** Prepares later steps: not a test, but a failure if it fails. */
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
    summary.push(...slowestFiles(report, ROOT));
    return readVitestCounts(report, succeeded);
  },
});

/** The rest tier runs after the change tier, which leaves builds. */
const hasBuilds = ['dist/index.d.ts', 'dist-demo/index.html'].every((file) => existsSync(join(ROOT, file)));
const READY: Step[][] = [[prepare('System packages', ensureSystem)], [prepare('Default model', ensureModel)]];
const BUILDS: Step[] = [
  script('Package bundles', 'build:bundles'),
  script('Package: types and API report', 'check:api'),
  script('Demo build', 'build:demo'),
];
const SOURCES: Step[] = [
  script('Format', 'check:format'),
  script('Workflows', 'check:workflows'),
  script('Lint and layers', 'lint'),
];
const PACKAGE: Step[] = [
  script('Types', 'typecheck'),
  script('Package: what publint and are-the-types-wrong say', 'check:package'),
  script('Package: sizes', 'check:size'),
];
const DOCUMENTATION = script('Documentation of the API', 'docs');

/** Stages run in order; the lists within a stage run in parallel. Tests read the builds. */
const STAGES: Record<Tier, Step[][][]> = {
  change: [
    [...READY, BUILDS],
    [[...SOURCES, ...PACKAGE], [vitest('Tests')]],
  ],
  rest: [
    [...READY, hasBuilds ? [] : BUILDS],
    [[DOCUMENTATION], [vitest('Tests')]],
  ],
  all: [
    [...READY, BUILDS],
    [[...SOURCES, ...PACKAGE, DOCUMENTATION], [vitest('Tests')]],
  ],
};

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

const slow = [slowness()];
for (const stage of STAGES[tier]) await Promise.all(stage.map(takeAll));
slow.push(slowness());

const used = usedCpuSeconds();
if (used !== undefined && patterns.length === 0) {
  const { kept, line } = judgeBudget(used, BUDGETS[tier], Math.max(...slow));
  summary.push(line);
  if (!kept) {
    summary.push('FAILED: over the budget (CONTRIBUTING.md says what a new test owes)');
    total = addCounts(total, FAILED);
  }
}
console.log(`\n${summary.join('\n')}\n${sumLine(total)}`);
process.exitCode = isSuccess(total) ? 0 : 1;
