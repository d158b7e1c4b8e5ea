import { statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Choice } from '../../demo/models/choices.ts';
import { type DeviceRoom, fitOf } from '../../demo/models/device-fit.ts';
import { DEFAULT_MODEL_BYTES, MODELS } from '../../demo/models/models.ts';
import { estimatedRate, rated, recommended } from '../../demo/models/recommendation.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';

const GIB = 2 ** 30;
const ROOM: DeviceRoom = { storageBytes: 100 * GIB, memoryBytes: 8 * GIB, gpu: 'real' };

/** The page's list on a device, where models of these names wrote so many tokens a second. */
function best(room: DeviceRoom, rates: Record<string, number> = {}): string | undefined {
  const choices = MODELS.map((model): Choice => ({
    model,
    address: model.name,
    isHere: false,
    facts: undefined,
    bytes: model.bytes,
    fit: fitOf(model, room),
  }));
  return recommended(
    rated(choices, room.gpu, (address) => rates[address]),
    room,
  )?.model.name;
}

test('the page knows the size of each model of its list, and of its own exactly', () => {
  expect(statSync(REAL_MODEL).size).toBe(MODELS[0]?.bytes);
  expect(DEFAULT_MODEL_BYTES).toBe(MODELS[0]?.bytes);
  // Of 4 bits a weight at least, and of 8 and a half with their scales at most, with some that are kept more exactly.
  const bits = MODELS.map(({ name, bytes }) => {
    const [, count = '', unit = ''] = /([\d.]+)([MB])$/.exec(name) ?? [];
    return (8 * bytes) / (Number(count) * (unit === 'B' ? 1e9 : 1e6));
  });
  expect(Math.min(...bits)).toBeGreaterThan(4);
  expect(Math.max(...bits)).toBeLessThan(9.5);
});

describe('the speed of a model', () => {
  test('nothing is said of a software adapter before one was measured on it; then weights decide', () => {
    expect(estimatedRate(1e9, 'software', undefined)).toBeUndefined();
    expect(estimatedRate(1e9, 'software', { bytes: 1e8, tokensPerSecond: 10 })).toBeCloseTo(1);
  });
  test('a real GPU is taken to read 20 GB a second', () => {
    expect(estimatedRate(1e9, 'real', undefined)).toBeCloseTo(20);
    // What a small model takes is mostly not its weights: 10 ms, and 45 ms for 0.9 GB more.
    expect(estimatedRate(1e9, 'real', { bytes: 1e8, tokensPerSecond: 100 })).toBeCloseTo(1000 / 55);
    // One that has read more is taken to do so again: 100 GB a second.
    expect(estimatedRate(2e9, 'real', { bytes: 1e9, tokensPerSecond: 100 })).toBeCloseTo(50);
    // A smaller one is quicker.
    expect(estimatedRate(5e8, 'real', { bytes: 1e9, tokensPerSecond: 100 })).toBeCloseTo(200);
  });
  test('is what was measured of it, else by the largest that was measured', () => {
    const choices = MODELS.map((model): Choice => ({
      model,
      address: model.name,
      isHere: false,
      facts: undefined,
      bytes: model.bytes,
      fit: 'fits',
    }));
    const rates: Record<string, number> = { 'SmolLM2 135M': 40, 'Llama 3.2 1B': 8 };
    const shown = rated(choices, 'software', (address) => rates[address]);
    const rate = (name: string) => shown.find(({ model }) => model.name === name)?.rate;
    expect(rate('SmolLM2 135M')).toEqual({ tokensPerSecond: 40, by: 'measured' });
    expect(rate('Qwen3 4B')).toEqual({
      tokensPerSecond: expect.closeTo((8 * 807_694_464) / 2_497_280_256) as number,
      by: 'estimated',
    });
    expect(rated(choices, 'real', () => undefined)[0]?.rate?.by).toBe('assumed');
  });
});

describe('the model that is recommended', () => {
  test('of a software adapter the page’s own, until another was quick enough on it', () => {
    const room: DeviceRoom = { ...ROOM, gpu: 'software' };
    expect(best(room)).toBe('SmolLM2 135M');
    expect(best(room, { 'SmolLM2 135M': 12 })).toBe('SmolLM2 135M');
    expect(best(room, { 'SmolLM2 135M': 120 })).toBe('Qwen3 0.6B');
  });
  test('of a real GPU the most able that writes 15 tokens a second, by what is known of it so far', () => {
    expect(best(ROOM)).toBe('SmolLM2 1.7B');
    expect(best(ROOM, { 'SmolLM2 135M': 20 })).toBe('SmolLM2 360M');
    expect(best(ROOM, { 'SmolLM2 135M': 200, 'SmolLM2 1.7B': 100 })).toBe('Qwen3 4B');
    // What was measured of a model itself says more than any estimate.
    expect(best(ROOM, { 'SmolLM2 135M': 200, 'SmolLM2 1.7B': 14 })).toBe('Llama 3.2 1B');
  });
  test('fits the memory and the storage; where the browser does not tell, it fits what phones have', () => {
    expect(best({ ...ROOM, memoryBytes: 2 * GIB })).toBe('Llama 3.2 1B');
    expect(best({ ...ROOM, memoryBytes: undefined })).toBe('Llama 3.2 1B');
    expect(best({ ...ROOM, memoryBytes: GIB / 2 })).toBe('SmolLM2 135M');
    expect(best({ ...ROOM, storageBytes: 700e6 })).toBe('Qwen3 0.6B');
    expect(best({ ...ROOM, storageBytes: 50e6 })).toBeUndefined();
    expect(best({ ...ROOM, gpu: 'none' })).toBeUndefined();
  });
});
