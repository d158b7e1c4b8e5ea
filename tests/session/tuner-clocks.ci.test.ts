import { beforeAll, expect, test } from 'vitest';
import { autotune, type Contest } from '../../src/gpu/autotuner.ts';
import type { Device } from '../../src/gpu/device.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { openPaperDevice } from '../../tools/instruments/paper-gpu.ts';
import { MemoryTuning } from '../support/memory-tuning.ts';
import { Random } from '../support/random.ts';

let device: Device;
let recorder: Recorder;
beforeAll(async () => {
  device = await openPaperDevice([], () => undefined);
  recorder = new Recorder(device);
});

const CANDIDATES = 7;
const TRIALS = 400;
/** Contests of a load. */
const CONTESTS = 4;

/**
 * A device whose candidates take so many milliseconds a run. Each run is off by some percent, each submission takes as long
 * again as it takes to hear of it, and one of thirty stalls. The page's clock ticks, and hears between two ticks.
 */
class SimulatedDevice {
  #ms = 0;

  constructor(
    private readonly costs: readonly number[],
    private readonly tick: number,
    private readonly random: Random,
    private readonly seed: number,
  ) {
    this.#ms = random.next() * 10;
  }

  /** Asking takes time too, or who waits for a tick would wait forever. */
  now = (): number => {
    this.#ms += 0.0002;
    const ticks = Math.floor(this.#ms / this.tick);
    // Of a tick that is shown early or late, as browsers do, lest it be guessed.
    const turn = new Random(this.seed + ticks).next();
    return (ticks + Number(this.#ms / this.tick - ticks >= turn)) * this.tick;
  };

  get ms(): number {
    return this.#ms;
  }

  contest(name: string): Contest {
    const kernel = () => ({
      ...{ name, bindings: [], params: {}, constants: { WORKGROUP: device.variant.workgroup } },
      sources: ['@compute @workgroup_size(WORKGROUP) fn main() {}'],
    });
    return {
      name,
      candidates: this.costs.map((_, i) => ({ workgroup: i + 1 })),
      kernel,
      make: () => {
        const cost = this.costs[device.variant.workgroup - 1] as number;
        let waits = true;
        return (_, share) => {
          if (waits) void Promise.resolve().then(() => (waits = true));
          const { random } = this;
          if (waits) this.#ms += 0.1 + 0.3 * random.next() + (random.next() < 1 / 30 ? 3 + 12 * random.next() : 0);
          waits = false;
          this.#ms += share * cost * (1 + 0.02 * Math.abs(random.normal()));
        };
      },
    };
  }
}

/** In how many of the trials what is chosen is within 3 % of the best, and the milliseconds that a trial takes at most. */
async function tried(tick: number): Promise<{ share: number; ms: number }> {
  const random = new Random(17);
  const own = device.variant;
  let near = 0;
  let ms = 0;
  for (let trial = 0; trial < TRIALS; trial++) {
    const base = 0.02 * 500 ** random.next();
    const costs = Array.from({ length: CANDIDATES }, () => base * (1 + 1.5 * random.next() ** 2));
    const simulated = new SimulatedDevice(costs, tick, random, 1000 * trial);
    device.variant = { ...own, workgroup: 1 + random.below(CANDIDATES) };
    const tuning = new MemoryTuning();
    const began = simulated.ms;
    const names = Array.from({ length: CONTESTS }, (_, i) => `${trial} ${i}`);
    await autotune(
      device,
      recorder,
      names.map((name) => simulated.contest(name)),
      tuning,
      simulated.now,
    );
    ms = Math.max(ms, simulated.ms - began);
    const best = Math.min(...costs);
    for (const { workgroup } of tuning.choices.values() as Iterable<{ workgroup: number }>)
      near += Number((costs[workgroup - 1] as number) <= 1.03 * best);
    device.variant = own;
  }
  return { share: near / (TRIALS * CONTESTS), ms };
}

test.each([1, 0.1, 0.005])(
  'with a clock of %f ms the choice is within 3 percent of the best, in nearly all of the trials',
  async (tick) => {
    const { share, ms } = await tried(tick);
    console.info(`a clock of ${tick} ms: ${(100 * share).toFixed(1)} %, ${ms.toFixed(0)} ms at most`);
    expect(share).toBeGreaterThanOrEqual(0.95);
    expect(ms).toBeLessThan(tick === 1 ? 4000 : 1500);
  },
);
