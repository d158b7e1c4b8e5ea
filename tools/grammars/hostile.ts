/**
 * Checks that grammars that need many resources stay within their bounds:
 *
 *     node --import tsx tools/grammars/hostile.ts [--only NAME] [--from NAME] [--vocabulary smollm2] [--steps 200] [--json FILE]
 *
 * Each compiles within 2 s of CPU time and 64 MB, or is refused by a GrammarError. Each of the first masks along random
 * tokens, and each accepted token, takes at most 10 ms. A case over a bound is run again from scratch, because a garbage
 * collection or another process may interfere: only bounds exceeded every time count. The cases run in their own process, so
 * that one that hangs can be ended.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Matcher } from '../../src/grammar/parser/matcher.ts';
import { GrammarError } from '../../src/grammar/limits.ts';
import { Random } from '../../tests/support/random.ts';
import { HOSTILE_CASES } from './hostile-cases.ts';
import { commandLine, timed, writeReport } from './measures.ts';
import { compile, tokensOf, trieOf, type Format } from './product.ts';
import { openVocabulary } from './vocabularies.ts';

const MOST_COMPILE_MS = 2000;
const MOST_BYTES = 64 << 20;
const MOST_MASK_MS = 10;
/** CPU time of a single step after which its process is ended. */
const HANG_MS = 20_000;
/** Time of a mask after which the run of its case ends. */
const ENOUGH_MS = 10 * MOST_MASK_MS;
/** CPU time of this process, in ms, when the current step began; 0 between steps. */
const begun = new Int32Array(new SharedArrayBuffer(4));

/** One run of a case. */
interface Run {
  /** The reason why it was refused; undefined if it compiled. */
  refused?: string;
  /** The reason why a mask was not computed. */
  refusedLater?: string;
  /** An error that is no refusal. */
  broken?: string;
  compileMs: number;
  compileBytes: number;
  masks: number;
  maskMs: number;
  acceptMs: number;
  maskBytes: number;
}

interface Outcome {
  name: string;
  runs: Run[];
  violations: string[];
}

const { options } = commandLine();
const steps = Number(options.get('steps') ?? 200);
const only = options.get('only');
const from = options.get('from');
const begin = from === undefined ? 0 : HOSTILE_CASES.findIndex(({ name }) => name.includes(from));
const cases = HOSTILE_CASES.slice(begin).filter(({ name }) => only === undefined || name.includes(only));

/** Memory in use, resident memory and its peak, in bytes. */
function memory(): { used: number; resident: number; peak: number } {
  const { heapUsed, external, rss } = process.memoryUsage();
  return { used: heapUsed + external, resident: rss, peak: process.resourceUsage().maxRSS * 1024 };
}

/** Result of `work`, and the memory that it keeps or needed at its peak, in bytes. */
function withMemory<T>(work: () => T): [result: T, bytes: number] {
  global.gc?.();
  const before = memory();
  const result = work();
  const after = memory();
  return [result, Math.max(after.used - before.used, after.peak > before.peak ? after.peak - before.resident : 0)];
}

function run(format: Format, trie: ReturnType<typeof trieOf>, eosIds: readonly number[]): Run {
  const result: Run = { compileMs: 0, compileBytes: 0, masks: 0, maskMs: 0, acceptMs: 0, maskBytes: 0 };
  const attempt = <T>(work: () => T, refuse: (reason: string) => void): T | undefined => {
    const { user, system } = process.cpuUsage();
    Atomics.store(begun, 0, Math.max(1, (user + system) / 1000));
    try {
      return work();
    } catch (error) {
      if (error instanceof GrammarError) refuse(`${error.at}: ${error.reason}`);
      else result.broken = error instanceof Error ? (error.stack ?? error.message).slice(0, 700) : String(error);
      return undefined;
    } finally {
      Atomics.store(begun, 0, 0);
    }
  };
  const refuse = (reason: string): void => void (result.refused = reason);
  const [[matcher, compileMs], compileBytes] = withMemory(() =>
    timed(() => attempt(() => new Matcher(compile(format), trie), refuse)),
  );
  Object.assign(result, { compileMs, compileBytes });
  if (!matcher) return result;
  const random = new Random(7);
  [, result.maskBytes] = withMemory(() => {
    for (; result.masks < steps; result.masks++) {
      const [mask, maskMs] = timed(() =>
        attempt(
          () => matcher.mask(),
          (reason) => void (result.refusedLater = reason),
        ),
      );
      result.maskMs = Math.max(result.maskMs, maskMs);
      if (!mask || maskMs > ENOUGH_MS) return;
      const allowed = tokensOf(mask).filter((id) => !eosIds.includes(id));
      if (allowed.length === 0) return;
      const token = allowed[random.below(allowed.length)]!;
      const [taken, acceptMs] = timed(() =>
        attempt(
          () => matcher.accept(token),
          (reason) => void (result.refusedLater = reason),
        ),
      );
      result.acceptMs = Math.max(result.acceptMs, acceptMs);
      if (taken === undefined) return;
      if (!taken) {
        result.broken = `token ${token} is in the mask of step ${result.masks} and not taken`;
        return;
      }
    }
  });
  return result;
}

const megabytes = (bytes: number): string => `${(bytes / (1 << 20)).toFixed(0)} MB`;

function violationsOf(runs: readonly Run[]): string[] {
  const least = (value: (run: Run) => number): number => Math.min(...runs.map(value));
  const last = runs.at(-1)!;
  const [compileMs, compileBytes, maskMs] = [
    least((r) => r.compileMs),
    least((r) => r.compileBytes),
    least((r) => r.maskMs),
  ];
  const [acceptMs, maskBytes] = [least((r) => r.acceptMs), least((r) => r.maskBytes)];
  return [
    ...(last.broken !== undefined ? [last.broken] : []),
    ...(compileMs > MOST_COMPILE_MS ? [`compiles in ${compileMs.toFixed(0)} ms`] : []),
    ...(compileBytes > MOST_BYTES ? [`takes ${megabytes(compileBytes)} to compile`] : []),
    ...(maskMs > MOST_MASK_MS ? [`a mask takes ${maskMs.toFixed(1)} ms`] : []),
    ...(acceptMs > MOST_MASK_MS ? [`a token takes ${acceptMs.toFixed(1)} ms`] : []),
    ...(maskBytes > MOST_BYTES ? [`${steps} masks take ${megabytes(maskBytes)}`] : []),
  ];
}

/** Runs in the child process. */
async function runCases(first: number): Promise<void> {
  process.once('disconnect', () => process.exit());
  const vocabulary = await openVocabulary(options.get('vocabulary') ?? 'smollm2');
  const trie = trieOf(vocabulary);
  run({ schema: { type: 'object' } }, trie, vocabulary.eosIds); // the first run compiles the engine's code
  new Worker(new URL('../../tests/fuzz/watchdog.mjs', import.meta.url), {
    workerData: { begun, most: HANG_MS },
    execArgv: [],
  }).unref();
  for (const [index, { name, make }] of cases.entries()) {
    if (index < first) continue;
    process.send?.({ begin: index });
    const runs: Run[] = [];
    do {
      runs.push(run(make(), trie, vocabulary.eosIds));
    } while (runs.length < 3 && violationsOf(runs).length > 0);
    process.send?.({ outcome: { name, runs, violations: violationsOf(runs) } });
    await new Promise(setImmediate); // a process without a parent ends here
  }
  process.disconnect();
}

/** Starts processes until all cases have run. */
async function judgeCases(): Promise<void> {
  const outcomes: Outcome[] = [];
  while (outcomes.length < cases.length) {
    const child = fork(new URL(import.meta.url), process.argv.slice(2), {
      execArgv: [...process.execArgv, '--expose-gc'],
      env: { ...process.env, HOSTILE_FIRST: String(outcomes.length) },
    });
    let begun = -1;
    child.on('message', (message: { begin?: number; outcome?: Outcome }) => {
      if (message.begin !== undefined) begun = message.begin;
      if (message.outcome) outcomes.push(print(message.outcome));
    });
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    if (outcomes.length === cases.length) break;
    if (begun !== outcomes.length) throw new Error(`the process that runs the cases ended: ${code ?? signal}`);
    const why = signal === 'SIGKILL' ? `takes more than ${HANG_MS / 1000} s` : `ends the process: ${code ?? signal}`;
    outcomes.push(print({ name: cases[begun]!.name, runs: [], violations: [why] }));
  }
  const compiledMs = outcomes.flatMap(({ runs }) => runs.slice(0, 1)).map(({ compileMs }) => compileMs);
  const count = (is: (outcome: Outcome) => boolean): number => outcomes.filter(is).length;
  console.log(
    `${outcomes.length} cases: ${count(({ violations }) => violations.length > 0)} over a bound, ` +
      `${count(({ runs }) => runs[0]?.refused !== undefined)} refused, ` +
      `${count(({ runs }) => runs[0]?.refusedLater !== undefined)} refused at a mask; ` +
      `compile at most ${Math.max(...compiledMs).toFixed(0)} ms`,
  );
  writeReport(options.get('json'), outcomes);
}

function print(outcome: Outcome): Outcome {
  const { name, runs, violations } = outcome;
  const [first] = runs;
  const what =
    first &&
    [
      `compile ${first.compileMs.toFixed(1)} ms ${megabytes(first.compileBytes)}`,
      first.refused !== undefined
        ? `refused: ${first.refused.slice(0, 200)}`
        : `${first.masks} masks, most ${first.maskMs.toFixed(2)} ms, accept ${first.acceptMs.toFixed(2)} ms, ${megabytes(first.maskBytes)}`,
      ...(first.refusedLater !== undefined ? [`refused later: ${first.refusedLater.slice(0, 200)}`] : []),
    ].join('; ');
  console.log(`${violations.length > 0 ? 'OVER' : 'ok  '}  ${name.slice(0, 90)}: ${what ?? ''}`);
  for (const violation of violations) console.log(`      ${violation}`);
  return outcome;
}

if (process.send) await runCases(Number(process.env['HOSTILE_FIRST']));
else await judgeCases();
