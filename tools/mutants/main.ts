/**
 * Applies each listed fault to the code, and checks whether the tests find it:
 *
 *     npm run mutants -- [IDS or areas] [--tier change|all] [--more N] [--timeout SECONDS] [--clone DIR] [--again]
 *     npm run mutants -- --list
 *     npm run mutants -- [IDS or areas] --baseline
 *
 * Works in a clone of the current commit. Results are kept in results.json; a fault with a result runs again only with
 * --again.
 */
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { breakClone, makeClone } from './clone.ts';
import { editsOf, type Fault } from './fault.ts';
import { areaOf, FAULTS } from './faults.ts';
import { likelyTests } from './likely-tests.ts';
import { keepResult, readResults, type Result, summary } from './results.ts';
import { build, type FileRun, runFile } from './run-file.ts';
import { type Tier, tierOf } from './tier.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const RESULTS = join(import.meta.dirname, 'results.json');

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    tier: { type: 'string', default: 'all' },
    more: { type: 'string', default: '0' },
    timeout: { type: 'string', default: '300' },
    clone: { type: 'string', default: join(tmpdir(), 'chunkwise-mutants') },
    again: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    baseline: { type: 'boolean', default: false },
  },
});

const tier = values.tier === 'change' || values.tier === 'all' ? values.tier : usage('--tier is change or all');
const more = countOf('more');
const timeout = countOf('timeout');
const clone = resolve(values.clone);

function usage(reason: string): never {
  console.error(`mutants: ${reason}`);
  process.exit(2);
}

function countOf(name: 'more' | 'timeout'): number {
  const count = Number(values[name]);
  return Number.isInteger(count) && count >= 0 ? count : usage(`--${name} is a whole number`);
}

function chosen(): Fault[] {
  const all = Object.values(FAULTS).flat();
  if (positionals.length === 0) return all;
  return positionals.flatMap((name) => {
    const found = FAULTS[name] ?? all.filter(({ id }) => id === name);
    return found.length > 0 ? found : usage(`${name} is no fault and no area`);
  });
}

// The change tier runs fewer cases of a file.
process.env['CHUNKWISE_TIER'] = tier;

/** Test files of a tier; `all` includes the change tier. */
const ofTier = (files: readonly string[]): string[] => files.filter((file) => tier === 'all' || tierOf(file) === tier);

/** State that the clone's build was made from. */
let built: string | undefined;

/** Runs a test file; rebuilds the clone for browsers if `state` changed. */
async function runIn(file: string, state: string, seconds = timeout): Promise<FileRun> {
  if (file.startsWith('e2e/') && built !== state) {
    built = undefined;
    if (!(await build(clone))) return { outcome: 'failed', test: 'it does not build', seconds: 0 };
    built = state;
  }
  return runFile(clone, file, seconds);
}

/** Whether a file passes without a fault within the time limit. */
const sound = new Map<string, boolean>();

async function isSound(file: string): Promise<boolean> {
  const known = sound.get(file);
  if (known !== undefined) return known;
  const { outcome, test, seconds } = await runIn(file, 'as it is');
  console.log(`  ${file} without a fault: ${outcome}, ${seconds} s${test && `: ${test}`}`);
  sound.set(file, outcome === 'passed');
  return outcome === 'passed';
}

async function look(fault: Fault): Promise<Result> {
  const { id, tests } = fault;
  const others =
    more > 0
      ? likelyTests(
          clone,
          editsOf(fault).map(({ file }) => file),
        )
      : [];
  const files = [...ofTier(tests), ...ofTier(others.filter((file) => !tests.includes(file))).slice(0, more)];
  let seconds = 0;
  for (const file of files) {
    const mend = breakClone(clone, fault);
    let ran: FileRun;
    try {
      ran = await runIn(file, id);
    } finally {
      mend();
    }
    seconds = Math.round((seconds + ran.seconds) * 10) / 10;
    console.log(`  ${file}: ${ran.outcome}, ${ran.seconds} s${ran.test && `: ${ran.test}`}`);
    // A file that is too slow without the fault has not found it.
    const isFound = ran.outcome === 'failed' || (ran.outcome === 'timed out' && (await isSound(file)));
    if (isFound) return { id, tier, found: true, by: file, test: ran.test, seconds };
  }
  return { id, tier, found: false, seconds };
}

const originOf = ({ from }: Fault): string => (from === 'seeded' ? 'seeded  ' : from);

async function main(): Promise<void> {
  const faults = chosen();
  if (values.list) {
    for (const fault of faults)
      console.log(`${areaOf(fault.id).padEnd(14)}${originOf(fault)}  ${fault.id}: ${fault.what}`);
    return;
  }
  makeClone(ROOT, clone);
  if (values.baseline) {
    const files = [...new Set(faults.flatMap(({ tests }) => ofTier(tests)))];
    for (const file of files) await isSound(file);
    process.exitCode = [...sound.values()].every(Boolean) ? 0 : 1;
    return;
  }
  const known = (id: string, of: Tier): boolean =>
    readResults(RESULTS).some((result) => result.id === id && result.tier === of);
  for (const [i, fault] of faults.entries()) {
    if (!values.again && known(fault.id, tier)) continue;
    console.log(`${i + 1}/${faults.length} ${fault.id}`);
    keepResult(RESULTS, await look(fault));
  }
  const ids = new Set(faults.map(({ id }) => id));
  console.log(summary(readResults(RESULTS).filter((result) => ids.has(result.id) && result.tier === tier)));
}

await main();
