import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** The used fields of vitest's JSON report (Jest's format). */
interface VitestReport {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: {
    name: string;
    startTime: number;
    endTime: number;
    status: 'passed' | 'failed';
    assertionResults: { status: string }[];
  }[];
}

/**
 * Counts of one vitest run. A file that could not be loaded, and a run that failed without a failed test (an error
 * outside any test, a crash), count as one failure each.
 */
export function readVitestCounts(reportPath: string, succeeded: boolean): Counts {
  if (!existsSync(reportPath)) return { passed: 0, failed: 1, skipped: 0 };
  const report = JSON.parse(readFileSync(reportPath, 'utf8')) as VitestReport;
  const failedFiles = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  const failed = report.numFailedTests + failedFiles.length;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && !succeeded ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

/** A line per slowest file, slowest first; `root`: base of their paths. */
export function slowestFiles(reportPath: string, root: string, count = 10): string[] {
  if (!existsSync(reportPath)) return [];
  const { testResults } = JSON.parse(readFileSync(reportPath, 'utf8')) as VitestReport;
  const files = testResults.map(({ name, startTime, endTime }) => ({ name, seconds: (endTime - startTime) / 1000 }));
  files.sort((a, b) => b.seconds - a.seconds);
  return files
    .slice(0, count)
    .map(({ name, seconds }) => `  ${seconds.toFixed(0).padStart(4)} s ${relative(root, name)}`);
}

export function addCounts(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

export function sumLine({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** Success needs at least one test, no failures and no skipped tests: a skipped test checked nothing. */
export function isSuccess({ passed, failed, skipped }: Counts): boolean {
  return passed > 0 && failed === 0 && skipped === 0;
}
