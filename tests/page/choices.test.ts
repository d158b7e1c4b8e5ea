import { openAsBlob } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type Choice, closestTo, inOrder, parametersOf } from '../../demo/models/choices.ts';
import { type DeviceRoom, type Fit, fitOf, fitWords, hasRoomBeside } from '../../demo/models/device-fit.ts';
import { MODELS } from '../../demo/models/models.ts';
import { BlobSource } from '../../src/weights/byte-source.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { openModelFile } from '../../src/weights/open-model-file.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';

const GB = 1e9;
const ROOM: DeviceRoom = { storageBytes: 10 * GB, memoryBytes: 4 * 2 ** 30, gpu: 'real' };

const choice = (name: string, fit: Fit = 'fits', created?: string): Choice => {
  const facts =
    created === undefined
      ? undefined
      : { asked: 0, created: Date.parse(created), bytes: 1, license: undefined, licenseUrl: 'https://example.org' };
  return {
    model: {
      name,
      id: `owner/${name.replaceAll(' ', '-')}-GGUF:${name.replaceAll(' ', '-')}.gguf`,
      bytes: 1,
      cachePerToken: 1,
      about: '',
    },
    address: name,
    isHere: false,
    facts,
    bytes: 1,
    fit,
  };
};
const names = (choices: Choice[]): string[] => choices.map(({ model }) => model.name);

test('a model fits if it takes at most half of the memory with the cache of a full context, and its file fits the storage', () => {
  const half = 2 * 2 ** 30;
  const size = { bytes: half - 4096 * 100_000, cachePerToken: 100_000 };
  expect(fitOf(size, ROOM)).toBe('fits');
  expect(fitOf({ ...size, bytes: size.bytes + 1 }, ROOM)).toBe('memory');
  expect(fitOf({ ...size, cachePerToken: size.cachePerToken + 1 }, ROOM)).toBe('memory');
  expect(fitOf(size, { ...ROOM, storageBytes: size.bytes })).toBe('fits');
  expect(fitOf(size, { ...ROOM, storageBytes: size.bytes - 1 })).toBe('storage');
  expect(fitOf(size, { ...ROOM, memoryBytes: undefined })).toBe('untold');
  expect(fitOf(size, { ...ROOM, gpu: 'none' })).toBe('no-gpu');
  expect(fitWords('memory', { bytes: 3 * GB, cachePerToken: 100_000 }, ROOM)).toContain(
    'takes 3.41 GB of memory with its cache; this device has 2.15 GB',
  );
});

test('the newest models come first, then undated ones, then those that cannot run, also newest first', () => {
  const choices = [
    choice('Old', 'fits', '2023-01-01'),
    choice('Unknown'),
    choice('Huge', 'memory', '2026-01-01'),
    choice('Huger', 'storage', '2027-01-01'),
    choice('New', 'untold', '2025-01-01'),
  ];
  expect(names(inOrder(choices))).toEqual(['New', 'Old', 'Unknown', 'Huger', 'Huge']);
});

test.each<[string, number | undefined]>([
  ['SmolLM2-135M-Instruct.Q4_1', 135e6],
  ['qwen2.5-0.5b-instruct-q4_k_m', 5e8],
  ['Llama 3.2 1B', 1e9],
  ['Mixtral-8x7B-v0.1', 56e9],
  ['Qwen3-30B-A3B', 30e9],
  ['gemma-3n-E2B-it', 2e9],
  ['Phi-4-mini-4bit', undefined],
  ['model', undefined],
])('%s has %s parameters', (name, parameters) => expect(parametersOf(name)).toBe(parameters));

describe('the closest model', () => {
  const all = MODELS.map(({ name }) => choice(name, 'fits'));
  test.each<[failed: string, isTooLarge: boolean, expected: string | undefined]>([
    ['unsloth/Qwen3-30B-A3B-GGUF', false, 'Qwen3 4B'], // the largest of its family
    ['https://example.org/Qwen3-1.7B-Q4_K_M.gguf', true, 'Qwen3 0.6B'], // a model that is too large is not offered in another type
    ['models/Qwen3-1.7B-IQ2_XXS.gguf', false, 'Qwen3 1.7B'],
    ['owner/Meta-Llama-3.1-8B', true, 'Llama 3.2 1B'], // another version of it
    ['DeepSeek-R1-Distill-Qwen-7B.gguf', false, 'Qwen3 4B'],
    ['mamba-2.8b-hf.gguf', false, 'SmolLM2 1.7B'], // no relative: the next smaller
    ['mamba-100m.gguf', false, 'SmolLM2 135M'],
    ['mamba-100m.gguf', true, undefined],
    ['gemma-nano.gguf', true, 'Gemma 3 1B'],
    ['model.gguf', true, 'SmolLM2 135M'],
    ['owner/Qwen2.5-1.5B-GGUF:Qwen2.5-1.5B.gguf', false, 'Qwen2.5 0.5B'], // not the one that failed
  ])('to %s, too large: %s, is %s', (failed, isTooLarge, expected) => {
    expect(closestTo(failed, all, isTooLarge)?.model.name).toBe(expected);
  });

  test('is one that fits, or none', () => {
    const choices = all.map((each): Choice => ({
      ...each,
      fit: each.model.name === 'Qwen3 4B' ? 'memory' : each.model.name === 'Qwen3 1.7B' ? 'untold' : 'fits',
    }));
    expect(closestTo('Qwen3-8B', choices, false)?.model.name).toBe('Qwen3 1.7B');
    expect(
      closestTo(
        'Qwen3-8B',
        all.map((each): Choice => ({ ...each, fit: 'no-gpu' })),
        false,
      ),
    ).toBeUndefined();
  });
});

test('the list is sorted by size, and the cache size of a token matches the header', async () => {
  const sizes = MODELS.map(({ name }) => parametersOf(name) ?? NaN);
  expect(sizes).toEqual([...sizes].sort((a, b) => a - b));
  const file = new BlobSource(REAL_MODEL, await openAsBlob(REAL_MODEL));
  const { numLayers, numKvHeads, headDim } = readModelConfig(await openModelFile([file]));
  expect(MODELS[0]?.cachePerToken).toBe(4 * numLayers * numKvHeads * headDim);
});

test('two models are open at once if they take at most half of the memory; an unknown memory size counts as small', () => {
  const gib = 2 ** 30;
  expect(hasRoomBeside(gib / 4, [{ total: gib / 2 }])).toBe(true);
  expect(hasRoomBeside(gib / 4, [{ total: gib / 2 + 1 }])).toBe(false);
  expect(hasRoomBeside(gib / 4, [{ total: gib / 4 }, { total: gib / 4 + 1 }])).toBe(false);
  expect(hasRoomBeside(gib, [{ total: 2 * gib }], 8)).toBe(true);
  expect(hasRoomBeside(gib, [{ total: 2 * gib + 1 }], 8)).toBe(false);
});
