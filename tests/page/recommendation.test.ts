import { statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Choice } from '../../demo/models/choices.ts';
import { type DeviceRoom, fitOf } from '../../demo/models/device-fit.ts';
import { DEFAULT_MODEL_BYTES, MODELS } from '../../demo/models/models.ts';
import { estimatedRate, rated, recommended } from '../../demo/models/recommendation.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';

const GIB = 2 ** 30;
const ROOM: DeviceRoom = { storageBytes: 100 * GIB, memoryBytes: 8 * GIB, gpu: 'real' };

/** The recommended model on a device, given measured tokens per second by model name. */
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

test('the page knows the size of each listed model, and the exact size of its own', () => {
  expect(statSync(REAL_MODEL).size).toBe(MODELS[0]?.bytes);
  expect(DEFAULT_MODEL_BYTES).toBe(MODELS[0]?.bytes);
  // At least 4 bits per weight, at most 8.5 with scales; some tensors are stored more exactly.
  const bits = MODELS.map(({ name, bytes }) => {
    const [, count = '', unit = ''] = /([\d.]+)([MB])$/.exec(name) ?? [];
    return (8 * bytes) / (Number(count) * (unit === 'B' ? 1e9 : 1e6));
  });
  expect(Math.min(...bits)).toBeGreaterThan(4);
  expect(Math.max(...bits)).toBeLessThan(9.5);
});

describe('the speed of a model', () => {
  test('is unknown on a software adapter until a model was measured; then it follows the weights', () => {
    expect(estimatedRate(1e9, 'software', undefined)).toBeUndefined();
    expect(estimatedRate(1e9, 'software', { bytes: 1e8, tokensPerSecond: 10 })).toBeCloseTo(1);
  });
  test('is estimated from 20 GB per second on a real GPU', () => {
    expect(estimatedRate(1e9, 'real', undefined)).toBeCloseTo(20);
    // A small model spends most time on other work than weights: 10 ms, plus 45 ms for 0.9 GB more.
    expect(estimatedRate(1e9, 'real', { bytes: 1e8, tokensPerSecond: 100 })).toBeCloseTo(1000 / 55);
    // A higher measured bandwidth counts for a larger model too: 100 GB per second.
    expect(estimatedRate(2e9, 'real', { bytes: 1e9, tokensPerSecond: 100 })).toBeCloseTo(50);
    // A smaller model is faster.
    expect(estimatedRate(5e8, 'real', { bytes: 1e9, tokensPerSecond: 100 })).toBeCloseTo(200);
  });
  test('is its measured speed, else an estimate from the largest measured model', () => {
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
  test('on a software adapter is the page’s own, until another was measured fast enough', () => {
    const room: DeviceRoom = { ...ROOM, gpu: 'software' };
    expect(best(room)).toBe('SmolLM2 135M');
    expect(best(room, { 'SmolLM2 135M': 12 })).toBe('SmolLM2 135M');
    expect(best(room, { 'SmolLM2 135M': 120 })).toBe('Qwen3 0.6B');
  });
  test('on a real GPU is the most capable that reaches 15 tokens per second, by measurements so far', () => {
    expect(best(ROOM)).toBe('SmolLM2 1.7B');
    expect(best(ROOM, { 'SmolLM2 135M': 20 })).toBe('SmolLM2 360M');
    expect(best(ROOM, { 'SmolLM2 135M': 200, 'SmolLM2 1.7B': 100 })).toBe('Qwen3 4B');
    // A model's own measurement takes precedence over any estimate.
    expect(best(ROOM, { 'SmolLM2 135M': 200, 'SmolLM2 1.7B': 14 })).toBe('Llama 3.2 1B');
  });
  test('fits the memory and the storage; if the browser does not report them, it fits a typical phone', () => {
    expect(best({ ...ROOM, memoryBytes: 2 * GIB })).toBe('Llama 3.2 1B');
    expect(best({ ...ROOM, memoryBytes: undefined })).toBe('Llama 3.2 1B');
    expect(best({ ...ROOM, memoryBytes: GIB / 2 })).toBe('SmolLM2 135M');
    expect(best({ ...ROOM, storageBytes: 700e6 })).toBe('Qwen3 0.6B');
    expect(best({ ...ROOM, storageBytes: 50e6 })).toBeUndefined();
    expect(best({ ...ROOM, gpu: 'none' })).toBeUndefined();
  });
});
