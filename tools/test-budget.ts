/** Budgets of the tests in CPU seconds, which vary with load far less than wall time. */
import { existsSync, readFileSync } from 'node:fs';

/** Clock ticks per second in /proc/self/stat, the same on every Linux with Node. */
const TICKS_PER_SECOND = 100;

/** CPU seconds of this process and its ended children; undefined if the system does not report it (no Linux). */
export function usedCpuSeconds(path = '/proc/self/stat'): number | undefined {
  if (!existsSync(path)) return undefined;
  // The second field, a name in parentheses, may hold spaces. utime, stime, cutime and cstime are fields 14 to 17.
  const stat = readFileSync(path, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
}

/** CPU seconds of `work` on the machine of the budgets. */
const USUAL_SECONDS = 0.5;

/**
 * This machine's slowness for the same work, at least 1: CPUs differ by a factor of three, and a shared core is slower
 * too.
 */
export function slowness(): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return Math.max(1, (user + system) / 1e6 / USUAL_SECONDS);
}

/** Half arithmetic, half objects and strings. */
function work(): number {
  let sum = 0;
  for (let i = 1; i < 3e7; i++) sum += Math.sqrt(i) / (i & 1023 || 1);
  const words = new Map<string, number>();
  for (let i = 0; i < 6e5; i++) words.set(`word ${i % 50_000}`, (words.get(`word ${i % 50_000}`) ?? 0) + i);
  return sum + words.size;
}

/** A line about the used share of a budget of CPU seconds, and whether it was kept. */
export function judgeBudget(usedSeconds: number, budgetSeconds: number, slow: number): { kept: boolean; line: string } {
  const allowed = budgetSeconds * slow;
  const machine = slow > 1 ? ` (${budgetSeconds} s on a machine ${slow.toFixed(1)} times slower than usual)` : '';
  return {
    kept: usedSeconds <= allowed,
    line: `CPU time: ${usedSeconds.toFixed(0)} s of a budget of ${allowed.toFixed(0)} s${machine}`,
  };
}
