/** Runs fuzz cases for its parent, with a message before and after each: node --expose-gc … child.ts */
import { Worker } from 'node:worker_threads';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { cpuMs } from '../support/cpu-time.ts';
import { Random } from '../support/random.ts';
import type { FuzzCase, FuzzKind } from './kind.ts';
import { KINDS } from './kinds.ts';
import { caseSeed, type FromChild, HANG_FACTOR, mostBytes, type ToChild } from './protocol.ts';

const tell = (message: FromChild): void => void process.send?.(message);

/** Processor time of this process, in ms, when the running case began; 0 between cases. */
const begun = new Int32Array(new SharedArrayBuffer(4));
let watchdog: Worker | undefined;

/** `failure`: undefined if the case passes. */
async function failureOf(fuzzed: FuzzCase, { codes }: FuzzKind): Promise<{ failure?: string; isRefused?: boolean }> {
  try {
    await fuzzed.run();
    return {};
  } catch (error) {
    if (!(error instanceof ChunkwiseError))
      return { failure: error instanceof Error ? (error.stack ?? String(error)).slice(0, 1500) : String(error) };
    if (!codes.includes(error.code))
      return { failure: `${error.code}, which is no code of this kind: ${error.message.slice(0, 500)}` };
    return error.detail.reason === '' ? { failure: 'no reason' } : { isRefused: true };
  }
}

const memoryOf = (): number => process.memoryUsage().heapUsed + process.memoryUsage().external;
const mostResident = (): number => process.resourceUsage().maxRSS * 1024;

async function measured(
  fuzzed: FuzzCase,
  kind: FuzzKind,
  mostCpuMs: number,
): Promise<{ failure?: string; isRefused?: boolean; cpuMs: number; bytes: number }> {
  const [memory, resident, peak] = [memoryOf(), process.memoryUsage().rss, mostResident()];
  const start = cpuMs();
  Atomics.store(begun, 0, Math.max(1, start));
  const outcome = await failureOf(fuzzed, kind);
  Atomics.store(begun, 0, 0);
  const took = cpuMs() - start;
  // Memory that is still in use, or the rise of the peak.
  const bytes = Math.max(memoryOf() - memory, mostResident() > peak ? mostResident() - resident : 0);
  const most = mostBytes(fuzzed.bytes);
  const excess = [
    ...(took > mostCpuMs ? [`${took.toFixed(0)} ms of processor time, of ${mostCpuMs}`] : []),
    ...(bytes > most ? [`${bytes} bytes of memory, of ${most}`] : []),
  ];
  return { ...(excess.length > 0 && { failure: excess.join(' and ') }), ...outcome, cpuMs: took, bytes };
}

async function runCases({ name, seed, first, count, mostCpuMs }: ToChild): Promise<void> {
  const kind = await KINDS[name]?.();
  if (!kind) throw new Error(`no kind of input is called ${name}; these are: ${Object.keys(KINDS).join(', ')}`);
  await watchdog?.terminate();
  watchdog = new Worker(new URL('watchdog.mjs', import.meta.url), {
    workerData: { begun, most: HANG_FACTOR * mostCpuMs },
    execArgv: [],
  });
  const make = await kind.open();
  for (let index = first; index < first + count; index++) {
    const again = (): FuzzCase => make(new Random(caseSeed(seed, index)), index);
    const fuzzed = again();
    tell({ type: 'begin', index, what: fuzzed.what });
    let { failure, isRefused = false, cpuMs, bytes } = await measured(fuzzed, kind, mostCpuMs);
    if (failure !== undefined && (cpuMs > mostCpuMs || bytes > mostBytes(fuzzed.bytes))) {
      // Again, without the garbage of other cases.
      global.gc?.();
      ({ failure, isRefused = false, cpuMs, bytes } = await measured(again(), kind, mostCpuMs));
    }
    tell({ type: 'end', index, isRefused, cpuMs, bytes, ...(failure !== undefined && { failure }) });
  }
  tell({ type: 'done' });
}

process.on('message', (message: ToChild) => {
  runCases(message).catch((error: unknown) => {
    tell({ type: 'broken', reason: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  });
});
