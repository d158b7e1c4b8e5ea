import type { Choice } from './choices.ts';
import { canRun, type DeviceRoom, fitOf, GIB, UNTOLD_GIB } from './device-fit.ts';

/** Tokens a second that a recommended model writes at least: twice as fast as one reads. */
const LEAST_RATE = 15;
/** Bytes of weights that a real GPU reads a second at least, as integrated ones do; taken until answers here tell more. */
const GPU_BYTES_PER_SECOND = 20e9;

/** A model of the list that has answered on this device, and how fast. */
export interface Measured {
  bytes: number;
  tokensPerSecond: number;
}

/**
 * Tokens a second of a model with `bytes` of weights, by the largest one that was measured here. A token takes what it took
 * of that one, and the further weights are read at least as fast as that one's were. Undefined where nothing can be said.
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

/** `estimated`: by another model that answered here; `assumed`: by the kind of the device alone. */
export interface Rate {
  tokensPerSecond: number;
  by: 'measured' | 'estimated' | 'assumed';
}

/** A choice, with how fast it is here. */
export type RatedChoice = Choice & { rate: Rate | undefined };

/** Adds to each what `rateOf` has measured of it, or else an estimate. */
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
 * The best model for this device, of a list from the least able to the most able one: the last that fits and is quick
 * enough, or else the first that fits at all. Undefined where none does.
 */
export function recommended(choices: readonly RatedChoice[], room: DeviceRoom): RatedChoice | undefined {
  const surely = { ...room, memoryBytes: room.memoryBytes ?? UNTOLD_GIB * GIB };
  const fitting = choices.filter(({ model, bytes, fit }) => canRun(fit) && canRun(fitOf({ ...model, bytes }, surely)));
  return fitting.findLast(({ rate }) => rate !== undefined && rate.tokensPerSecond >= LEAST_RATE) ?? fitting[0];
}
