import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Candidate } from './autotuner.ts';
import type { Device, Variant } from './device.ts';
import { type BufferRange, readOnce, type Recorder } from './recorder.ts';

/** A small test case of a kernel with its expected result. */
export interface Check {
  /** Kernel and types, for error messages. */
  name: string;
  /** Creates the kernel under the device's current variant; the result writes the inputs and records the case. */
  make(): (recorder: Recorder) => void;
  /** Buffer ranges of the result, and how to decode them. */
  result: readonly BufferRange[];
  read(bytes: ArrayBuffer): ArrayLike<number>;
  expected: ArrayLike<number>;
  /** Numbers per row; default: all. The error is judged row by row, so one wrong row fails. The last row may be shorter. */
  row?: number;
}

/** Checks of kernels that share variant fields. The first candidate that passes all checks is taken. */
export interface CheckGroup {
  candidates: readonly Candidate[];
  checks: readonly Check[];
}

/** Largest relative L2 error: far above rounding (8-bit activations included), far below a lost part of a sum. */
const MOST_ERROR = 0.03;

/**
 * Returns the device's variant if all checks pass, otherwise the nearest one that passes; the device's own is unchanged.
 * Errors: `wrong_results` if none passes, `device_lost`.
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
  const reason = `${device.name} computes wrong results with every variant of this kernel`;
  throw new ChunkwiseError('wrong_results', { field: first?.name ?? 'kernel', reason });
}

async function firstWrong(device: Device, recorder: Recorder, checks: readonly Check[]): Promise<Check | undefined> {
  const cases = checks.map((check) => {
    const record = check.make(); // all kernels compile in parallel
    const isTaken = device.pipelines.ready().then(
      () => true,
      () => false,
    );
    return { check, record, isTaken };
  });
  for (const { check, record, isTaken } of cases) {
    if (!(await isTaken)) return check;
    recorder.inOneGo(() => record(recorder));
    const found = check.read(await readOnce(device, 'checked', check.result));
    if (!(largestError(found, check) <= MOST_ERROR)) return check; // NaN fails too
  }
  return undefined;
}

/** Relative L2 error of the worst row. */
function largestError(found: ArrayLike<number>, { expected, row = expected.length }: Check): number {
  let largest = 0;
  for (let start = 0; start < expected.length; start += row) {
    let [error, power] = [0, 0];
    for (let i = start; i < Math.min(start + row, expected.length); i++) {
      error += ((found[i] ?? NaN) - expected[i]!) ** 2;
      power += expected[i]! ** 2;
    }
    largest = Math.max(largest, Math.sqrt(error / power)); // keeps NaN
  }
  return largest;
}
