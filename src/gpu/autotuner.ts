import { quantile } from '../config/quantile.ts';
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
  make(): (recorder: Dispatcher) => void;
}

/** Where choices outlast a visit. What it cannot keep or read is found again. */
export interface TuningStore {
  get(key: string): Promise<unknown>;
  set(key: string, chosen: Candidate): Promise<void>;
}

/** A submission lasts at least so long, or what is timed would be the waiting for it. */
const SUBMISSION_MS = 10;
const MOST_RUNS = 256;
const ROUNDS = 5;
/** What is this many times as slow as the fastest at first sight is not timed further. */
const HOPELESS = 4;
/** What the class has is kept where nothing takes less than this of its time: what is a tie would depend on chance. */
const CLEARLY_FASTER = 0.9;

/**
 * Gives the device's variant, for each contest, what runs fastest on it: as it was found once, or by timing now.
 * Errors: `device_lost`.
 */
export async function autotune(device: Device, recorder: Recorder, contests: readonly Contest[], store: TuningStore): Promise<void> {
  for (const contest of contests) {
    const texts = contest.candidates.map((candidate) => withVariant(device, candidate, () => renderKernel(contest.kernel())));
    const key = `${device.name}, ${textHash(texts.join())}: ${contest.name}`;
    const known = await store.get(key).catch(() => undefined);
    const chosen = contest.candidates.find((candidate) => JSON.stringify(candidate) === JSON.stringify(known));
    const choice = chosen ?? (await fastest(device, recorder, contest));
    if (!chosen) await store.set(key, choice).catch(() => undefined);
    device.variant = { ...device.variant, ...choice };
  }
}

interface Entrant {
  candidate: Candidate;
  record: (recorder: Dispatcher) => void;
  /** Milliseconds of submissions, of as many runs as the others'. */
  times: number[];
}

async function fastest(device: Device, recorder: Recorder, contest: Contest): Promise<Candidate> {
  const submission = async ({ candidate, record }: Entrant, count: number): Promise<number> => {
    const began = performance.now();
    recorder.inOneGo(() =>
      withVariant(device, candidate, () => {
        for (let i = 0; i < count; i++) record(recorder);
      }),
    );
    await unlessLost(device, device.gpuDevice.queue.onSubmittedWorkDone());
    return performance.now() - began;
  };
  const all = await entrants(device, contest);
  for (const entrant of all) {
    await submission(entrant, 1); // compiles
    entrant.times.push(await submission(entrant, 1));
  }
  const first = all.reduce<Entrant | undefined>(faster, undefined);
  if (!first) return {}; // the driver takes none, as loading will find
  const hopeful = all.filter((entrant) => median(entrant) <= HOPELESS * median(first));
  let count = 1;
  while (count < MOST_RUNS && (await submission(first, count)) < SUBMISSION_MS) count *= 2;
  for (const entrant of hopeful) entrant.times.length = 0;
  for (let round = 0; round < ROUNDS; round++) {
    for (const entrant of hopeful) entrant.times.push(await submission(entrant, count)); // in turn: a device's speed wanders
  }
  const best = hopeful.reduce(faster);
  const own = hopeful.find(({ candidate }) => isOf(device.variant, candidate));
  return own && median(best) > CLEARLY_FASTER * median(own) ? own.candidate : best.candidate;
}

/** The candidates that the driver takes. */
async function entrants(device: Device, contest: Contest): Promise<Entrant[]> {
  const taken: Entrant[] = [];
  for (const candidate of contest.candidates) {
    const record = withVariant(device, candidate, () => contest.make());
    const isTaken = await device.pipelines.ready().then(() => true, () => false);
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

const median = ({ times }: Entrant): number => quantile(times, 0.5);

const faster = (best: Entrant | undefined, entrant: Entrant): Entrant =>
  best && median(best) <= median(entrant) ? best : entrant;

const isOf = (variant: Variant, candidate: Candidate): boolean =>
  Object.entries(candidate).every(([name, value]) => variant[name as keyof Variant] === value);
