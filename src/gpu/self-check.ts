import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Candidate } from './autotuner.ts';
import type { Device } from './device.ts';
import type { Variant } from './device-variant.ts';
import type { BufferRange } from './operation.ts';
import { readOnce } from './readback.ts';
import type { Recorder } from './recorder.ts';

/** A small case of a kernel, and what is right. */
export interface Check {
  /** Kernel and types: what an error names. */
  name: string;
  /** Makes the kernel as the device's variant has it, and returns what records the case, its inputs written. */
  make(): (recorder: Recorder) => void;
  /** Where the result lies, and the numbers in it. */
  result: readonly BufferRange[];
  read(bytes: ArrayBuffer): ArrayLike<number>;
  expected: ArrayLike<number>;
  /** Numbers that are judged together; default: all. One wrong row among many is an error; the last may be shorter. */
  row?: number;
}

/** Kernels that vary together: the first of `candidates` with which all are right is taken. */
export interface CheckGroup {
  candidates: readonly Candidate[];
  checks: readonly Check[];
}

/** Relative L2: far above what rounding does, also to 8 bits, and far below what a lost part of a sum does. */
const MOST_ERROR = 0.03;

/**
 * The device's variant where all that is computed with it is right, or one with which it is; the device keeps its own.
 * Errors: `wrong_results` where there is none, `device_lost`.
 */
export async function rightVariant(
  device: Device,
  recorder: Recorder,
  groups: readonly CheckGroup[],
): Promise<Variant> {
  const before = device.variant;
  try {
    for (const { candidates, checks } of groups) await takeRight(device, recorder, [{}, ...candidates], checks);
    return device.variant;
  } finally {
    device.variant = before;
  }
}

async function takeRight(
  device: Device,
  recorder: Recorder,
  candidates: readonly Candidate[],
  checks: readonly Check[],
): Promise<void> {
  const own = device.variant;
  let first: Check | undefined;
  for (const candidate of candidates) {
    device.variant = { ...own, ...candidate };
    const wrong = await firstWrong(device, recorder, checks);
    if (!wrong) return;
    first ??= wrong;
  }
  const reason = `${device.name} computes it wrong, in whichever way it is asked to`;
  throw new ChunkwiseError('wrong_results', { field: first?.name ?? 'kernel', reason });
}

async function firstWrong(device: Device, recorder: Recorder, checks: readonly Check[]): Promise<Check | undefined> {
  for (const check of checks) {
    const record = check.make();
    const isTaken = await device.pipelines.ready().then(
      () => true,
      () => false,
    );
    if (!isTaken) return check;
    recorder.inOneGo(() => record(recorder));
    const found = check.read(await readOnce(device, 'checked', check.result));
    if (!(largestError(found, check) <= MOST_ERROR)) return check; // NaN is wrong too
  }
  return undefined;
}

/** Relative L2 of the row that is off most. */
function largestError(found: ArrayLike<number>, { expected, row = expected.length }: Check): number {
  let largest = 0;
  for (let start = 0; start < expected.length; start += row) {
    let [error, power] = [0, 0];
    for (let i = start; i < Math.min(start + row, expected.length); i++) {
      error += ((found[i] ?? NaN) - expected[i]!) ** 2;
      power += expected[i]! ** 2;
    }
    largest = Math.max(largest, Math.sqrt(error / power)); // NaN stays
  }
  return largest;
}
