import { beforeAll, expect, test } from 'vitest';
import { autotune, type TuningCase } from '../../src/gpu/autotuner.ts';
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
/** Tuned kernels of a load. */
const TUNED_KERNELS = 4;

/**
 * A device whose candidates take `costs` milliseconds a run. Runs vary by a few percent, each submission adds the
 * latency of its readback, and one in thirty stalls. The page's clock advances in ticks, and results arrive between
 * ticks.
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

  /** Reading the clock takes time: otherwise a wait for the next tick would never end. */
  now = (): number => {
    this.#ms += 0.0002;
    const ticks = Math.floor(this.#ms / this.tick);
    // Some ticks appear early or late: browsers add jitter against timing attacks.
    const turn = new Random(this.seed + ticks).next();
    return (ticks + Number(this.#ms / this.tick - ticks >= turn)) * this.tick;
  };

  get ms(): number {
    return this.#ms;
  }

  tuningCase(name: string): TuningCase {
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

/** Share of trials whose choice is within 3 % of the best, and the milliseconds of the longest trial. */
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
    const names = Array.from({ length: TUNED_KERNELS }, (_, i) => `${trial} ${i}`);
    await autotune(
      device,
      recorder,
      names.map((name) => simulated.tuningCase(name)),
      tuning,
      simulated.now,
    );
    ms = Math.max(ms, simulated.ms - began);
    const best = Math.min(...costs);
    for (const { workgroup } of tuning.choices.values() as Iterable<{ workgroup: number }>)
      near += Number((costs[workgroup - 1] as number) <= 1.03 * best);
    device.variant = own;
  }
  return { share: near / (TRIALS * TUNED_KERNELS), ms };
}

test.each([1, 0.1, 0.005])(
  'with a clock of %f ms the choice is within 3 percent of the best in nearly all trials',
  async (tick) => {
    const { share, ms } = await tried(tick);
    console.info(`a clock of ${tick} ms: ${(100 * share).toFixed(1)} %, ${ms.toFixed(0)} ms at most`);
    expect(share).toBeGreaterThanOrEqual(0.95);
    expect(ms).toBeLessThan(tick === 1 ? 4000 : 1500);
  },
);
