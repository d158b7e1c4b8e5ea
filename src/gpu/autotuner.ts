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

/** Of all contests together, but for compiling: a load waits for it. What is under way then still ends. Where the clock is coarse, three times as much. */
const BUDGET_MS = { fine: 1000, coarse: 3000 };
/** A submission lasts at least so long, or what is timed would be the waiting for it. */
const SUBMISSION_MS = 10;
/** And so many ticks of the clock. Of 1 ms, as in Firefox and Safari, it is coarse. */
const SUBMISSION_TICKS = 50;
const COARSE_TICKS = 5;
/** Looks at a clock until it is taken for a fine one. */
const MOST_LOOKS = 50_000;
/** A run with the device's own lasts no longer, as far as less work makes it shorter: all candidates are to be seen in time. */
const RUN_MS = 20;
const LEAST_SHARE = 1 / 8;
const MOST_RUNS = 256;
/** Where the clock is coarse. */
const MOST_LONG_RUNS = 2048;
const MOST_ROUNDS = 7;
/** What is so many times as slow as the fastest is not timed further: at first sight, once it was timed like the others, and twice so. */
const HOPELESS = { atFirst: 4, later: 1.3, last: 1.1 };
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
  const tick = tickOf(now);
  const isCoarse = COARSE_TICKS * tick > 1;
  let budget = isCoarse ? BUDGET_MS.coarse : BUDGET_MS.fine;
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
      const clock = { now, tick, began: now(), compiling: 0, budget, left: contests.length - i };
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
  /** Milliseconds of a run, of submissions of as many runs as the others'. */
  times: number[];
}

interface Clock {
  now: () => number;
  /** Milliseconds from one time that it shows to the next. */
  tick: number;
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
  const atSight = within(HOPELESS.atFirst, seen, tick);
  for (const entrant of seen) {
    // One stall of the device looks the same as being slow.
    if (!atSight.includes(entrant) && isInTime()) entrant.times.push(await submission(entrant, share));
  }
  let hopeful = within(HOPELESS.atFirst, seen, tick);
  let count = 1;
  const isShort = async (): Promise<boolean> => (await submission(first, share, count)) < SUBMISSION_MS;
  while (count < MOST_RUNS && isInTime() && ((await isShort()) || (await isShort()))) count *= 2; // or it stalled
  // Until few are left, a clock that is coarse tells enough of short submissions.
  for (let round = 0; round < MOST_ROUNDS && isInTime(); round++) {
    const before = count;
    if (round === 1) {
      const wanted = Math.ceil((SUBMISSION_TICKS * tick) / Math.min(...hopeful.map(usual)));
      count = Math.max(count, Math.min(wanted, MOST_LONG_RUNS));
    }
    const isAnew = round === 0 || count > before;
    const times: number[] = [];
    for (const entrant of hopeful) times.push((await submission(entrant, share, count)) / count); // in turn: a device's speed wanders
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

/** Milliseconds from one time that the clock shows to the next; 0 of one that shows the same for long. */
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

/** Those that take no longer than so many times the fastest's time, where each may be `doubt` longer or shorter than it seems. */
function within(factor: number, entrants: readonly Entrant[], doubt: number): Entrant[] {
  const shortest = Math.min(...entrants.map(usual));
  return entrants.filter((entrant) => usual(entrant) - doubt <= factor * (shortest + doubt));
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

/** Of the shorter half, since what disturbs a submission only adds to its time; their mean, since a clock that ticks may show less. */
function usual({ times }: Entrant): number {
  const shorter = [...times].sort((a, b) => a - b).slice(0, Math.ceil(times.length / 2));
  return shorter.reduce((sum, ms) => sum + ms, 0) / shorter.length;
}

const faster = (best: Entrant, entrant: Entrant): Entrant => (usual(best) <= usual(entrant) ? best : entrant);

const isOf = (variant: Variant, candidate: Candidate): boolean =>
  Object.entries(candidate).every(([name, value]) => variant[name as keyof Variant] === value);
