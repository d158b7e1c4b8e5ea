import { describe, expect, it } from 'vitest';
import { nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openDevice } from '../../src/gpu/device.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';

const bytes = tinyModel({
  architecture: 'llama',
  type: 'Q4_0',
  seed: 61,
  numLayers: 2,
  contextLength: 256,
  neverEnds: true,
});

const ask = async (engine: LocalEngine): Promise<string> =>
  (await answer(engine.complete('The wind blows.', { sampling: GREEDY, stop: [], maxTokens: 6 }))).text;

/** Destroys the device while the engine holds it. */
async function lose(engine: LocalEngine): Promise<void> {
  const { device } = await engine.session();
  device.gpuDevice.destroy();
  await device.gpuDevice.lost;
}

describe('a device that is lost', () => {
  it('loses the computed text, and saving throws `device_lost` until another text exists', async () => {
    const engine = await engineUnderTest(bytes, { gpu: nodeGpu(), savedCaches: new MemoryStore() });
    const text = await ask(engine);
    await expect(engine.savedCaches.save('nothing')).resolves.toBeDefined();
    await lose(engine);
    const before = await engine.session();
    for (let i = 0; i < 2; i++)
      await expect(engine.savedCaches.save('lost')).rejects.toMatchObject({ code: 'device_lost' });
    expect(await engine.session()).toBe(before); // the new session is complete
    expect(await ask(engine)).toBe(text);
    expect((await engine.savedCaches.save('found')).tokens).toBeGreaterThan(6);
  });

  it('ends work in progress with `device_lost`: loading a text or an adapter, embedding; later requests are right', async () => {
    const engine = await engineUnderTest(bytes, { gpu: nodeGpu(), savedCaches: new MemoryStore() });
    const text = await ask(engine);
    await engine.savedCaches.save('text');
    const { vector } = await embedded(engine);
    // Destroys the device between two of the engine's calls, before the loss is reported.
    const during = async (work: () => Promise<unknown>): Promise<void> => {
      const { device } = await engine.session();
      const create = device.buffers.create.bind(device.buffers);
      const write = device.gpuDevice.queue.writeBuffer.bind(device.gpuDevice.queue);
      device.buffers.create = (...args) => {
        const buffer = create(...args);
        device.gpuDevice.destroy();
        return buffer;
      };
      device.gpuDevice.queue.writeBuffer = (...args: Parameters<GPUQueue['writeBuffer']>) => {
        write(...args);
        device.gpuDevice.destroy();
      };
      await expect(work()).rejects.toMatchObject({ code: 'device_lost' });
      expect(await ask(engine)).toBe(text);
    };
    await during(() => engine.savedCaches.load('text'));
    const adapter = peftSource(tinyAdapter((await engine.session()).plan.config, { seed: 3, gain: 2 }));
    await during(() => engine.loadAdapter('poet', adapter));
    expect((await engine.loadAdapter('poet', adapter)).name).toBe('poet');
    await during(() => embedded(engine));
    expect((await embedded(engine)).vector).toEqual(vector);
    expect((await engine.savedCaches.load('text')).tokens).toBeGreaterThan(6);
  });

  const embedded = async (from: LocalEngine) => {
    for await (const each of from.embed(['Seven winds'], {})) return each;
    throw new Error('nothing came');
  };
});

describe('opening a device', () => {
  /** WebGPU that has no adapter for the first `failures` requests. */
  const late = (failures: number): GPU => {
    const gpu = nodeGpu();
    let left = failures;
    return Object.assign(Object.create(gpu) as GPU, {
      requestAdapter: async (options: GPURequestAdapterOptions) => (left-- > 0 ? null : gpu.requestAdapter(options)),
    });
  };

  it('asks again if there is no adapter at first, such as just after the GPU process ended', async () => {
    (await openDevice(late(2))).close();
    await expect(openDevice(late(Infinity))).rejects.toMatchObject({ code: 'no_webgpu' });
  });

  it('reports a lost GPU if it gave a device before', async () => {
    let isThere = true;
    const gpu = Object.assign(Object.create(nodeGpu()) as GPU, {
      requestAdapter: async (options: GPURequestAdapterOptions) => (isThere ? nodeGpu().requestAdapter(options) : null),
    });
    (await openDevice(gpu)).close();
    isThere = false;
    await expect(openDevice(gpu)).rejects.toMatchObject({ code: 'device_lost' });
  });
});
