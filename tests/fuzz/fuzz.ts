import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { FromChild, ToChild } from './protocol.ts';

const CHILD = fileURLToPath(new URL('child.ts', import.meta.url));
const LOADER = new URL('../../tools/wgsl-loader.mjs', import.meta.url).href;
const MOST_CPU_MS = 2000;
/** Wall-clock time in ms after which a case counts as hanging even without processor time. */
const HANG_MS = 60_000;
/** Failures after which a kind is aborted. */
const MOST_FAILURES = 20;

export interface FuzzOptions {
  count: number;
  seed: number;
  /** Number of the first case; default 0. */
  first?: number;
  mostCpuMs?: number;
}

export interface FuzzReport {
  cases: number;
  refused: number;
  failures: { index: number; what: string; failure: string }[];
  /** Maximum over the cases. */
  cpuMs: number;
  bytes: number;
}

/** Runs cases in a child process, which is replaced if a case hangs or crashes. */
export class Fuzzer {
  #child: ChildProcess | undefined;

  async run(name: string, { count, seed, first = 0, mostCpuMs = MOST_CPU_MS }: FuzzOptions): Promise<FuzzReport> {
    const report: FuzzReport = { cases: 0, refused: 0, failures: [], cpuMs: 0, bytes: 0 };
    const end = first + count;
    for (let next = first; next < end && report.failures.length < MOST_FAILURES;) {
      next = await this.#run({ name, seed, first: next, count: end - next, mostCpuMs }, report);
    }
    return report;
  }

  close(): void {
    this.#child?.kill('SIGKILL');
    this.#child = undefined;
  }

  /** Resolves to the number of the first case that was not run. */
  #run(cases: ToChild, report: FuzzReport): Promise<number> {
    const child = (this.#child ??= startChild());
    return new Promise((resolve, reject) => {
      let running: { index: number; what: string } | undefined;
      let watch: NodeJS.Timeout | undefined;
      const broken = (reason: string): void => {
        this.close();
        reject(new Error(`${cases.name}: ${reason}`));
      };
      /** Called if the process ended, or must be ended, during a case. */
      const lost = (failure: string): void => {
        clearTimeout(watch);
        child.removeAllListeners();
        if (!running) return broken(failure);
        this.close();
        report.cases++;
        report.failures.push({ index: running.index, what: running.what, failure });
        resolve(running.index + 1);
      };
      child.on('exit', (code, signal) =>
        lost(signal === 'SIGKILL' ? 'hangs: its process had to be ended' : `the process ended: ${code ?? signal}`),
      );
      child.on('message', (message: FromChild) => {
        if (message.type === 'begin') {
          running = message;
          watch = setTimeout(() => lost(`hangs: no end after ${HANG_MS} ms`), HANG_MS);
          return;
        }
        clearTimeout(watch);
        if (message.type === 'end') {
          take(message, running?.what ?? '', report);
          running = undefined;
          return;
        }
        child.removeAllListeners();
        if (message.type === 'broken') broken(message.reason);
        else resolve(cases.first + cases.count);
      });
      child.send(cases);
    });
  }
}

function startChild(): ChildProcess {
  return fork(CHILD, {
    execArgv: ['--import', 'tsx', '--import', LOADER, '--expose-gc', '--max-old-space-size=1024'],
    // The grammar library logs its opinion of a grammar to the console.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

function take(
  { index, isRefused, cpuMs, bytes, failure }: Extract<FromChild, { type: 'end' }>,
  what: string,
  report: FuzzReport,
): void {
  report.cases++;
  if (isRefused) report.refused++;
  report.cpuMs = Math.max(report.cpuMs, cpuMs);
  report.bytes = Math.max(report.bytes, bytes);
  if (failure !== undefined) report.failures.push({ index, what, failure });
}
