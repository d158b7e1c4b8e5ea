import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Result of a test file. */
export interface FileRun {
  outcome: 'passed' | 'failed' | 'timed out';
  /** Title of its first failed test, or the reason why none ran. */
  test: string;
  seconds: number;
}

/** The used fields of vitest's JSON report. */
interface Report {
  testResults: {
    status: string;
    message: string;
    assertionResults: { status: string; fullName: string }[];
  }[];
}

interface Ended {
  code: number | null;
  isLate: boolean;
}

/** Runs a command and its children with a time limit in seconds. */
function run(command: string, args: readonly string[], cwd: string, seconds: number): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, stdio: 'ignore', detached: true });
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    }, seconds * 1000);
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code, isLate });
    });
  });
}

const VITEST = 'node_modules/vitest/vitest.mjs';
const VITE = 'node_modules/vite/bin/vite.js';
const BUILDS = [[], ['--config', 'demo/vite.config.ts']];
const BUILD_SECONDS = 300;

/** Builds a clone for browsers; returns whether that worked. */
export async function build(clone: string): Promise<boolean> {
  for (const args of BUILDS) {
    const { code } = await run(process.execPath, [VITE, 'build', ...args], clone, BUILD_SECONDS);
    if (code !== 0) return false;
  }
  return true;
}

/** Runs one test file of a clone up to its first failure. */
export async function runFile(clone: string, file: string, seconds: number): Promise<FileRun> {
  const report = join(clone, 'mutants-report.json');
  rmSync(report, { force: true });
  const project = file.startsWith('e2e/') ? 'e2e' : '!e2e';
  const options = ['--bail=1', '--reporter=json', `--outputFile=${report}`];
  const began = performance.now();
  const { code, isLate } = await run(
    process.execPath,
    [VITEST, 'run', `--project=${project}`, ...options, file],
    clone,
    seconds,
  );
  const took = { seconds: Math.round((performance.now() - began) / 100) / 10 };
  if (isLate) return { outcome: 'timed out', test: `nothing after ${seconds} s`, ...took };
  if (code === 0) return { outcome: 'passed', test: '', ...took };
  return { outcome: 'failed', test: firstFailure(report), ...took };
}

function firstFailure(path: string): string {
  if (!existsSync(path)) return 'no report: the run itself failed';
  const { testResults } = JSON.parse(readFileSync(path, 'utf8')) as Report;
  const failed = testResults
    .flatMap(({ assertionResults }) => assertionResults)
    .find(({ status }) => status === 'failed');
  if (failed) return failed.fullName;
  const message = testResults.find(({ status }) => status === 'failed')?.message.split('\n')[0];
  return message ? `the file: ${message}` : 'an error outside any test';
}
