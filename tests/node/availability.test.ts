import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { checkAvailability } from '../../src/api/check-availability.ts';
import type { Platform } from '../../src/api/platform.ts';
import { RECOMMENDED_MODELS } from '../../src/api/recommended-models.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { modelUrl } from '../../src/node/index.ts';
import { NODE } from '../../src/node/platform.ts';
import { storageHost } from '../../src/storage/storage-host.ts';
import { openModel } from '../../workers/model-store.ts';
import { diskCacheForTests } from '../support/disk-cache.ts';
import { HubServer } from '../support/hub-server.ts';

const FILE = 'tiny-Q8_0.gguf';
const SIZE = 3_000_000;

const hub = await HubServer.start('owner/tiny', { [FILE]: new Uint8Array(SIZE) });
const folder = diskCacheForTests();
afterAll(() => hub.close());
beforeEach(() => hub.forget());

/** Node with a GPU, as far as the checks ask. */
const platformWith = (changes: Partial<Platform> = {}): Platform => ({
  ...NODE,
  gpu: async () => ({ requestAdapter: async () => ({}) }) as unknown as GPU,
  ...changes,
});
const options = () => ({ model: 'owner/tiny', hub: { endpoint: hub.endpoint } });
const ask = (more: object = {}, changes: Partial<Platform> = {}) =>
  checkAvailability({ ...options(), ...more }, platformWith(changes));

it('is unavailable without WebGPU or an adapter, before any request for the model', async () => {
  const none = async (): Promise<never> => {
    throw new ChunkwiseError('no_webgpu', { reason: 'this browser has none' });
  };
  expect(await ask({}, { gpu: none })).toEqual({
    status: 'unavailable',
    code: 'no_webgpu',
    reason: 'this browser has none',
  });
  const bare = async (): Promise<GPU> => ({ requestAdapter: async () => null }) as unknown as GPU;
  expect(await ask({}, { gpu: bare })).toMatchObject({ status: 'unavailable', code: 'no_webgpu' });
  expect(hub.requests).toEqual([]);
  expect(await checkAvailability({}, platformWith())).toMatchObject({ status: 'available' });
});

it('is downloadable until the model is stored, reports the missing bytes, and downloads nothing', async () => {
  expect(await ask()).toMatchObject({ status: 'downloadable', bytes: SIZE, missingBytes: SIZE });
  expect(await ask({ model: hub.fileUrl(FILE) })).toMatchObject({ status: 'downloadable', missingBytes: SIZE });
  expect(hub.sentBytes(FILE)).toBe(0);
  const { model, hub: from } = options();
  const store = (): Promise<unknown> =>
    openModel(model, {
      hub: from,
      budgetBytes: Infinity,
      onProgress: () => undefined,
      check: async () => ({ license: undefined }),
      confirm: undefined,
    });
  await store();
  expect(await ask()).toMatchObject({ status: 'available' });
  hub.behaviour.token = 'needed'; // its server is as good as gone
  expect(await ask()).toMatchObject({ status: 'available' });
  rmSync(folder, { recursive: true });
  expect(await ask()).toMatchObject({ status: 'unavailable', code: 'network' });
});

it.each([
  ['the limit', { memoryLimitBytes: SIZE - 1 }, {}, /are allowed$/],
  ['the device', {}, { memory: () => ({ gib: 0.002, isAll: true }) }, /0.002 GiB/],
])('is unavailable where it takes more memory than %s has', async (_, more, changes, reason) => {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'local.gguf');
  writeFileSync(file, new Uint8Array(SIZE));
  const found = await ask({ model: modelUrl(file), ...more }, changes);
  expect(found).toMatchObject({
    status: 'unavailable',
    code: 'over_limit',
    reason: expect.stringMatching(reason) as string,
  });
  expect(await ask({ model: modelUrl(file) })).toMatchObject({ status: 'available' });
  // A system that does not report all of its memory may have enough.
  expect(await ask({ model: modelUrl(file) }, { memory: () => ({ gib: 0.002, isAll: false }) })).toMatchObject({
    status: 'available',
  });
});

it('is unavailable if the storage has no room or a file is missing; refuses a wrong option', async () => {
  const file = new File([new Uint8Array(10)], 'x.gguf');
  expect(await ask({ model: file })).toMatchObject({ status: 'available' });
  expect(await ask({ model: modelUrl('nowhere.gguf') })).toMatchObject({ status: 'unavailable', code: 'bad_file' });
  await expect(ask({ modle: 'x' })).rejects.toMatchObject({ code: 'bad_request', detail: { field: 'modle' } });
  const { estimate } = storageHost;
  storageHost.estimate = async () => ({ quota: 1e6, usage: 0 });
  expect(await ask()).toMatchObject({
    status: 'unavailable',
    code: 'over_limit',
    reason: expect.stringMatching(/^owner\/tiny: storage/) as string,
  });
  storageHost.estimate = estimate;
});

it('the recommended models are hub files, smallest first, each with complete data', () => {
  const parameters = RECOMMENDED_MODELS.map((model) => model.parameters);
  expect(parameters).toEqual([...parameters].sort((a, b) => a - b));
  for (const { id, bytes, parameters, license, source } of RECOMMENDED_MODELS) {
    expect(modelUrl(id)).toMatch(/^https:\/\/huggingface\.co\/[^/]+\/[^/]+\/resolve\/main\/.+\.gguf$/);
    expect(bytes / parameters).toBeGreaterThan(0.5); // 4 bits and more
    expect(bytes / parameters).toBeLessThan(1.1); // 8 and scales
    expect(license).toMatch(/^[a-z0-9.-]+$/);
    expect(source).toMatch(/^https:\/\/huggingface\.co\/[^/]+\/[^/]+$/);
  }
});
