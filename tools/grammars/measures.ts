import { writeFileSync } from 'node:fs';

/**
 * Result of `work`, and an upper bound of its CPU time in ms: the lesser of the elapsed time and the CPU time of the whole
 * process, whose compiler and garbage collector have their own threads.
 */
export function timed<T>(work: () => T): [result: T, cpuMs: number] {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const result = work();
  const passed = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return [result, Math.min(passed, (user + system) / 1000)];
}

/** A measured time: its case, and the place within it. */
export interface Timing {
  name: string;
  ms: number;
  detail: string;
}

/** Times of one kind of work: median, 99th percentile, maximum, and the longest cases. */
export class Timings {
  readonly all: Timing[] = [];

  add(name: string, ms: number, detail = ''): void {
    this.all.push({ name, ms, detail });
  }

  summary(): { count: number; median: number; p99: number; most: number } {
    const sorted = this.all.map(({ ms }) => ms).sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    return { count: sorted.length, median: at(0.5), p99: at(0.99), most: sorted.at(-1) ?? 0 };
  }

  /** The longest times, at most one per name. */
  worst(count: number): Timing[] {
    const longest = new Map<string, Timing>();
    for (const timing of this.all)
      if (timing.ms > (longest.get(timing.name)?.ms ?? -1)) longest.set(timing.name, timing);
    return [...longest.values()].sort((a, b) => b.ms - a.ms).slice(0, count);
  }

  line(label: string): string {
    const { count, median, p99, most } = this.summary();
    const ms = (value: number): string => value.toPrecision(3);
    return `${label}, CPU ms: median ${ms(median)}, 99 % ${ms(p99)}, most ${ms(most)} (${count})`;
  }
}

/** Parses a command line: options `--name value`, flags `--name`, and arguments. */
export function commandLine(flags: readonly string[] = []): { args: string[]; options: Map<string, string> } {
  const args: string[] = [];
  const options = new Map<string, string>();
  const words = process.argv.slice(2);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith('--')) args.push(word);
    else if (flags.includes(word.slice(2))) options.set(word.slice(2), '');
    else options.set(word.slice(2), words[++i] ?? '');
  }
  return { args, options };
}

/** Writes a report as JSON if a path is given. */
export function writeReport(path: string | undefined, report: unknown): void {
  if (path !== undefined) writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`);
}
