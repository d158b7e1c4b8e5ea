import type { Device } from './device.ts';
import { type KernelText, renderKernel } from './kernel.ts';
import { unlessLost } from './readback.ts';
import type { Dispatcher, Recorder } from './recorder.ts';
import { textHash } from './text-hash.ts';
import type { Variant } from './device-variant.ts';

export type Candidate = Partial<Variant>;

/** A kernel at one shape, which can be computed in several ways to the same result. */
export interface Contest {
  /** Kernel, types and shape: what a choice is remembered by, with the kernel's text. */
  name: string;
  candidates: readonly Candidate[];
  /** As the device's variant has it. */
  kernel(): KernelText;
  /** Makes the kernel as the device's variant has it, and returns what records one run of it under the same variant. */
  make(): Run;
}

/** Records a run of this share of the work: a slow device is not given all of it. */
export type Run = (recorder: Dispatcher, share: number) => void;

/** Where choices outlast a visit. What it cannot keep or read is found again. */
export interface TuningStore {
  get(key: string): Promise<unknown>;
  set(key: string, chosen: Candidate): Promise<void>;
}

/** Of all contests together, but for compiling: a load waits for it. What is under way then still ends. */
const BUDGET_MS = 1000;
/** A submission lasts at least so long, or what is timed would be the waiting for it. */
const SUBMISSION_MS = 10;
/** A run with the device's own lasts no longer, as far as less work makes it shorter: all candidates are to be seen in time. */
const RUN_MS = 20;
const LEAST_SHARE = 1 / 8;
const MOST_RUNS = 256;
const MOST_ROUNDS = 7;
/** What is so many times as slow as the fastest is not timed further: at first sight, and once it was timed like the others. */
const HOPELESS = { atFirst: 4, later: 1.3 };
/** What the class has is kept where nothing takes less than this of its time: what is a tie would depend on chance. */
const CLEARLY_FASTER = 0.97;

/**
 * Gives the device's variant, for each contest, what runs fastest on it: as it was found once, or by timing now. Where time
 * is over before all were seen, the fastest of those seen is taken: the device's own, where none was. `now`: milliseconds.
 * Errors: `device_lost`.
 */
export async function autotune(
  device: Device,
  recorder: Recorder,
  contests: readonly Contest[],
  store: TuningStore,
  now: () => number = () => performance.now(),
): Promise<void> {
  let budget = BUDGET_MS;
  for (const [i, contest] of contests.entries()) {
    const texts = contest.candidates.map((candidate) =>
      withVariant(device, candidate, () => renderKernel(contest.kernel())),
    );
    const key = `${device.name}, ${textHash(texts.join())}: ${contest.name}`;
    const known = await store.get(key).catch(() => undefined);
    let chosen = contest.candidates.find((candidate) => JSON.stringify(candidate) === JSON.stringify(known));
    if (!chosen) {
      const [first, ...others] = await entrants(device, contest);
      if (!first) continue; // what the driver refuses altogether loading will find
      const clock = { now, began: now(), compiling: 0, budget, left: contests.length - i };
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
  /** Milliseconds of submissions, of as many runs as the others'. */
  times: number[];
}

interface Clock {
  now: () => number;
  began: number;
  /** What drivers that compile at the first dispatch have taken of the time since. */
  compiling: number;
  budget: number;
  /** Contests that share it. */
  left: number;
}

const timePassed = ({ now, began, compiling }: Clock): number => now() - began - compiling;

async function fastest(
  device: Device,
  recorder: Recorder,
  [first, ...others]: readonly [Entrant, ...Entrant[]],
  clock: Clock,
): Promise<Candidate> {
  const { now, budget, left } = clock;
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
  /** Of the second run: some drivers compile only at the first. */
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
  const atSight = within(HOPELESS.atFirst, seen);
  for (const entrant of seen) {
    // One stall of the device looks the same as being slow.
    if (!atSight.includes(entrant) && isInTime()) entrant.times.push(await submission(entrant, share));
  }
  let hopeful = within(HOPELESS.atFirst, seen);
  let count = 1;
  while (count < MOST_RUNS && isInTime() && (await submission(first, share, count)) < SUBMISSION_MS) count *= 2;
  for (let round = 0; round < MOST_ROUNDS && isInTime(); round++) {
    const times: number[] = [];
    for (const entrant of hopeful) times.push(await submission(entrant, share, count)); // in turn: a device's speed wanders
    hopeful.forEach((entrant, i) => (entrant.times = [...(round > 0 ? entrant.times : []), times[i]!]));
    hopeful = within(HOPELESS.later, hopeful);
  }
  const best = hopeful.reduce(faster);
  const own = hopeful.find(({ candidate }) => isOf(device.variant, candidate));
  return own && least(best) > CLEARLY_FASTER * least(own) ? own.candidate : best.candidate;
}

/** Those that take no longer than so many times the fastest's time. */
function within(factor: number, entrants: readonly Entrant[]): Entrant[] {
  const shortest = Math.min(...entrants.map(least));
  return entrants.filter((entrant) => least(entrant) <= factor * shortest);
}

/** The candidates that the driver takes, the device's own first. */
async function entrants(device: Device, contest: Contest): Promise<Entrant[]> {
  const ownFirst = [...contest.candidates].sort(
    (a, b) => Number(isOf(device.variant, b)) - Number(isOf(device.variant, a)),
  );
  const kernels = ownFirst.map((candidate) => withVariant(device, candidate, () => contest.kernel()));
  await Promise.all(kernels.map((kernel) => device.pipelines.prepare(kernel).catch(() => undefined))); // side by side
  const taken: Entrant[] = [];
  for (const candidate of ownFirst) {
    const record = withVariant(device, candidate, () => contest.make());
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

/** What disturbs a submission only adds to its time. */
const least = ({ times }: Entrant): number => Math.min(...times);

const faster = (best: Entrant, entrant: Entrant): Entrant => (least(best) <= least(entrant) ? best : entrant);

const isOf = (variant: Variant, candidate: Candidate): boolean =>
  Object.entries(candidate).every(([name, value]) => variant[name as keyof Variant] === value);
