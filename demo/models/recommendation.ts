import type { Choice } from './choices.ts';
import { canRun, type DeviceRoom, fitOf, GIB, UNTOLD_GIB } from './device-fit.ts';

/** Least tokens per second of a recommended model: twice reading speed. */
const LEAST_RATE = 15;
/**
 * Bytes of weights per second that any real GPU reads, such as an integrated one; used until answers are measured here.
 */
const GPU_BYTES_PER_SECOND = 20e9;

/** A listed model that answered here, and its speed. */
export interface Measured {
  bytes: number;
  tokensPerSecond: number;
}

/**
 * Expected tokens per second of a model with `bytes` of weights, from the largest measured one: its time per token,
 * plus the further weights at its rate. Undefined without data.
 */
export function estimatedRate(
  bytes: number,
  gpu: DeviceRoom['gpu'],
  measured: Measured | undefined,
): number | undefined {
  const assumed = gpu === 'real' ? GPU_BYTES_PER_SECOND : 0;
  if (!measured) return assumed > 0 ? assumed / bytes : undefined;
  const bytesPerSecond = Math.max(assumed, measured.bytes * measured.tokensPerSecond);
  return 1 / (1 / measured.tokensPerSecond + (bytes - measured.bytes) / bytesPerSecond);
}

/** `estimated`: from another model's speed here; `assumed`: from the kind of device. */
export interface Rate {
  tokensPerSecond: number;
  by: 'measured' | 'estimated' | 'assumed';
}

/** A choice with its speed here. */
export type RatedChoice = Choice & { rate: Rate | undefined };

/** Adds the measured or estimated speed to each. */
export function rated(
  choices: readonly Choice[],
  gpu: DeviceRoom['gpu'],
  rateOf: (address: string) => number | undefined,
): RatedChoice[] {
  const known = choices.flatMap(({ address, bytes }) => {
    const tokensPerSecond = rateOf(address);
    return tokensPerSecond === undefined ? [] : [{ bytes, tokensPerSecond }];
  });
  const [largest] = known.sort((a, b) => b.bytes - a.bytes);
  return choices.map((choice) => {
    const measured = rateOf(choice.address);
    const tokensPerSecond = measured ?? estimatedRate(choice.bytes, gpu, largest);
    const by = measured !== undefined ? 'measured' : largest ? 'estimated' : 'assumed';
    return { ...choice, rate: tokensPerSecond === undefined ? undefined : { tokensPerSecond, by } };
  });
}

/**
 * The best model for this device, from a list ordered by ability: the last one that fits and is fast enough, else the
 * first that fits. Undefined if none fits.
 */
export function recommended(choices: readonly RatedChoice[], room: DeviceRoom): RatedChoice | undefined {
  const surely = { ...room, memoryBytes: room.memoryBytes ?? UNTOLD_GIB * GIB };
  const fitting = choices.filter(({ model, bytes, fit }) => canRun(fit) && canRun(fitOf({ ...model, bytes }, surely)));
  return fitting.findLast(({ rate }) => rate !== undefined && rate.tokensPerSecond >= LEAST_RATE) ?? fitting[0];
}
