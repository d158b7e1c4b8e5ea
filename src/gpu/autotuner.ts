import { type Device, unlessLost, type Variant } from './device.ts';
import { type KernelText, renderKernel, textHash } from './kernel.ts';
import type { Dispatcher, Recorder } from './recorder.ts';

export type Candidate = Partial<Variant>;

/** A kernel at one shape with candidate variants that compute the same result. */
export interface TuningCase {
  /** Kernel, types and shape: the key of a stored choice, with a hash of the kernel's text. */
  name: string;
  candidates: readonly Candidate[];
  /** The kernel under the device's current variant. */
  kernel(): KernelText;
  /** Creates the kernel under the device's current variant; the result records one run, under the same variant. */
  make(): Run;
}

/** Records a run of `share` of the work; slow devices get less than all of it. */
export type Run = (recorder: Dispatcher, share: number) => void;

/** Persists choices. A choice that it cannot store or read is tuned again. */
export interface TuningStore {
  get(key: string): Promise<unknown>;
  set(key: string, chosen: Candidate): Promise<void>;
}

/** Time budget for all tuning cases without compilation, since loading waits for it. Runs in progress may exceed it. Triple with a coarse clock. */
const BUDGET_MS = { fine: 1000, coarse: 3000 };
/** Least duration of a timed submission, so that latency does not dominate. */
const SUBMISSION_MS = 10;
/** Least clock ticks of a timed submission. A clock of 1 ms, as in Firefox and Safari, is coarse. */
const SUBMISSION_TICKS = 50;
const COARSE_TICKS = 5;
/** Clock reads without a change after which the clock counts as fine. */
const MOST_LOOKS = 50_000;
/** Target duration of a run of the default candidate: the share of the work shrinks until it fits, so that all candidates get a turn. */
const RUN_MS = 20;
const LEAST_SHARE = 1 / 8;
const MOST_RUNS = 256;
/** Most runs of a submission with a coarse clock. */
const MOST_LONG_RUNS = 2048;
const MOST_ROUNDS = 7;
/** Candidates slower than the fastest by these factors drop out: after the first run, the first round and later rounds. */
const HOPELESS = { atFirst: 4, later: 1.3, last: 1.1 };
/** A candidate replaces the default only if it takes less than this share of its time; ties would be random. */
const CLEARLY_FASTER = 0.97;

/**
 * Sets the device's variant to the fastest candidate of each tuning case, from the store or by timing. When the time budget
 * ends, the fastest candidate timed so far wins; without one, the default stays. `now`: clock in milliseconds. Errors:
 * `device_lost`.
 */
export async function autotune(
  device: Device,
  recorder: Recorder,
  tuningCases: readonly TuningCase[],
  store: TuningStore,
  now: () => number = () => performance.now(),
): Promise<void> {
  const tick = tickOf(now);
  const isCoarse = COARSE_TICKS * tick > 1;
  let budget = isCoarse ? BUDGET_MS.coarse : BUDGET_MS.fine;
  for (const [i, tuningCase] of tuningCases.entries()) {
    const texts = tuningCase.candidates.map((candidate) =>
      withVariant(device, candidate, () => renderKernel(tuningCase.kernel())),
    );
    const key = `${device.name}, ${textHash(texts.join())}: ${tuningCase.name}`;
    const known = await store.get(key).catch(() => undefined);
    let chosen = tuningCase.candidates.find((candidate) => JSON.stringify(candidate) === JSON.stringify(known));
    if (!chosen) {
      const [first, ...others] = await entrants(device, tuningCase);
      if (!first) continue; // every candidate was refused; loading reports it
      const clock = { now, tick, began: now(), compiling: 0, budget, left: tuningCases.length - i };
      chosen = budget > 0 ? await fastest(device, recorder, [first, ...others], clock) : first.candidate;
      budget -= timePassed(clock);
      await store.set(key, chosen).catch(() => undefined);
    }
    device.variant = { ...device.variant, ...chosen };
  }
}

interface Entrant {
  candidate: Candidate;
  record: Run;
  /** Milliseconds per run, one entry per submission. */
  times: number[];
}

interface Clock {
  now: () => number;
  /** Resolution in milliseconds. */
  tick: number;
  began: number;
  /** Milliseconds since `began` that drivers spent compiling at a first dispatch. */
  compiling: number;
  budget: number;
  /** Tuning cases that share the budget. */
  left: number;
}

const timePassed = ({ now, began, compiling }: Clock): number => now() - began - compiling;

async function fastest(
  device: Device,
  recorder: Recorder,
  [first, ...others]: readonly [Entrant, ...Entrant[]],
  clock: Clock,
): Promise<Candidate> {
  const { now, tick, budget, left } = clock;
  const submission = async ({ candidate, record }: Entrant, share: number, count = 1): Promise<number> => {
    const began = now();
    recorder.inOneGo(() =>
      withVariant(device, candidate, () => {
        for (let i = 0; i < count; i++) record(recorder, share);
      }),
    );
    await unlessLost(device, device.gpuDevice.queue.onSubmittedWorkDone());
    return now() - began;
  };
  /** Milliseconds of the second run: some drivers compile during the first. */
  const compiled = async (entrant: Entrant, share: number): Promise<number> => {
    const cold = await submission(entrant, share);
    const ms = await submission(entrant, share);
    clock.compiling += Math.max(0, cold - ms);
    return ms;
  };
  const atLeastShare = await compiled(first, LEAST_SHARE);
  let share = LEAST_SHARE;
  while (share < 1 && (2 * share * atLeastShare) / LEAST_SHARE <= RUN_MS) share *= 2;
  first.times = [share > LEAST_SHARE ? await submission(first, share) : atLeastShare];
  const seen = [first];
  for (const entrant of others) {
    if (timePassed(clock) > budget) break;
    entrant.times = [await compiled(entrant, share)];
    seen.push(entrant);
  }
  const isInTime = (): boolean => timePassed(clock) < budget / left;
  const atSight = within(HOPELESS.atFirst, seen, tick);
  for (const entrant of seen) {
    // Time slow-looking candidates again: a single stall looks the same.
    if (!atSight.includes(entrant) && isInTime()) entrant.times.push(await submission(entrant, share));
  }
  let hopeful = within(HOPELESS.atFirst, seen, tick);
  let count = 1;
  const isShort = async (): Promise<boolean> => (await submission(first, share, count)) < SUBMISSION_MS;
  while (count < MOST_RUNS && isInTime() && ((await isShort()) || (await isShort()))) count *= 2; // asked twice, since the first may have stalled
  // Short submissions suffice for the first round, even with a coarse clock.
  for (let round = 0; round < MOST_ROUNDS && isInTime(); round++) {
    const before = count;
    if (round === 1) {
      const wanted = Math.ceil((SUBMISSION_TICKS * tick) / Math.min(...hopeful.map(usual)));
      count = Math.max(count, Math.min(wanted, MOST_LONG_RUNS));
    }
    const isAnew = round === 0 || count > before;
    const times: number[] = [];
    for (const entrant of hopeful) times.push((await submission(entrant, share, count)) / count); // interleaved, since the device's speed drifts
    hopeful.forEach((entrant, i) => (entrant.times = [...(isAnew ? [] : entrant.times), times[i]!]));
    const factor = round === 0 ? HOPELESS.later : HOPELESS.last;
    if (isAnew) {
      const first = within(factor, hopeful, tick / count);
      for (const entrant of hopeful)
        if (!first.includes(entrant) && isInTime())
          entrant.times.push((await submission(entrant, share, count)) / count);
    }
    hopeful = within(factor, hopeful, tick / count);
  }
  const best = hopeful.reduce(faster);
  const own = hopeful.find(({ candidate }) => isOf(device.variant, candidate));
  return own && usual(best) > CLEARLY_FASTER * usual(own) ? own.candidate : best.candidate;
}

/** Resolution of the clock in milliseconds; 0 if it did not change within MOST_LOOKS reads. */
function tickOf(now: () => number): number {
  let tick = Infinity;
  for (let trial = 0; trial < 3; trial++) {
    const began = now();
    let looks = 0;
    let ms = 0;
    while (ms === 0 && ++looks < MOST_LOOKS) ms = now() - began;
    tick = Math.min(tick, ms);
  }
  return tick;
}

/** Candidates within `factor` of the fastest; times are uncertain by ±`doubt`. */
function within(factor: number, entrants: readonly Entrant[], doubt: number): Entrant[] {
  const shortest = Math.min(...entrants.map(usual));
  return entrants.filter((entrant) => usual(entrant) - doubt <= factor * (shortest + doubt));
}

/** The candidates that the driver compiles, the default first. */
async function entrants(device: Device, tuningCase: TuningCase): Promise<Entrant[]> {
  const ownFirst = [...tuningCase.candidates].sort(
    (a, b) => Number(isOf(device.variant, b)) - Number(isOf(device.variant, a)),
  );
  const kernels = ownFirst.map((candidate) => withVariant(device, candidate, () => tuningCase.kernel()));
  await Promise.all(kernels.map((kernel) => device.pipelines.prepare(kernel).catch(() => undefined))); // in parallel
  const taken: Entrant[] = [];
  for (const candidate of ownFirst) {
    const record = withVariant(device, candidate, () => tuningCase.make());
    const isTaken = await device.pipelines.ready().then(
      () => true,
      () => false,
    );
    if (isTaken) taken.push({ candidate, record, times: [] });
  }
  return taken;
}

function withVariant<T>(device: Device, candidate: Candidate, work: () => T): T {
  const own = device.variant;
  device.variant = { ...own, ...candidate };
  try {
    return work();
  } finally {
    device.variant = own;
  }
}

/** Mean of the shorter half of the times: disturbances only add time, and the mean evens out clock ticks. */
function usual({ times }: Entrant): number {
  const shorter = [...times].sort((a, b) => a - b).slice(0, Math.ceil(times.length / 2));
  return shorter.reduce((sum, ms) => sum + ms, 0) / shorter.length;
}

const faster = (best: Entrant, entrant: Entrant): Entrant => (usual(best) <= usual(entrant) ? best : entrant);

const isOf = (variant: Variant, candidate: Candidate): boolean =>
  Object.entries(candidate).every(([name, value]) => variant[name as keyof Variant] === value);
