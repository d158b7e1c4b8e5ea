import { describe, expect, onTestFinished, test } from 'vitest';
import { FileSource } from '../../src/node/file-source.ts';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { layerPageBytes } from '../../src/cache/kv-cache.ts';
import { slidingWindowLayers } from '../../src/cache/cache-page.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { anyTokens, fill } from '../../src/measure/steps.ts';
import { checkModel } from '../../src/session/open-session.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { ByteSource } from '../../src/weights/byte-source.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { expectError } from '../support/expect-error.ts';
import { REAL_MODEL } from '../support/models/real-model.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { failingGpu } from '../support/gpu/failing-gpu.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';

describe('memoryLimitBytes', () => {
  test('refuses a model by its header, and the error states the sizes', async () => {
    const file = await FileSource.open(REAL_MODEL);
    onTestFinished(() => file.close());
    const { tensors } = await openGguf([file]);
    const header = Math.min(...tensors.map(({ offset }) => offset));
    let read = 0;
    const counting: ByteSource = {
      name: 'model.gguf',
      size: file.size,
      read: (offset, length) => {
        read = Math.max(read, offset + length);
        return file.read(offset, length);
      },
    };
    const gpu = countGpu();
    const tensorBytes = tensors.reduce((sum, { bytes }) => sum + bytes, 0);
    const memoryLimitBytes = tensorBytes;
    const most = Math.floor(tensorBytes / 1e6);
    const reason = new RegExp(
      `^the model needs \\d+ MB of GPU memory \\(${most + 1} MB of weights\\), but may take ${most} MB$`,
    );
    const error = { file: 'model.gguf', field: 'memoryLimitBytes', reason };
    await expectError(() => engineUnderTest(counting, { memoryLimitBytes }), 'over_limit', error);
    await expectError(() => checkModel([counting], { gpu: nodeGpu(), memoryLimitBytes }), 'over_limit', error);
    // Only the trial of immediates has buffers.
    expect(gpu.largestBuffer).toBeLessThan(1000);
    expect(gpu.live.size).toBe(0);
    // The header is read in pieces; the last one reads only a small part of the weights.
    expect(read).toBeLessThan(header + tensorBytes / 20);
  });

  test('when a device refuses memory within its limits, the error says how much was requested', async () => {
    const { gpu, failures } = failingGpu();
    const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 71 });
    failures.arm('createBuffer', 8);
    await expectError(() => engineUnderTest(bytes, { gpu }), 'over_limit', {
      file: 'tiny.gguf',
      reason: /^the device refused, asked for \d+ MB of GPU memory together: /,
    });
  });

  test('a model with a full cache takes the predicted memory, within 5 percent', async () => {
    const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 71 });
    const engine = await engineUnderTest(bytes);
    const { plan, sequences } = await engine.session();
    const { totalBytes } = plan;
    const whole = sequences.take([0]);
    sequences.reserve(whole, engine.contextLength);
    const { total } = engine.memory();
    expect(total / totalBytes).toBeGreaterThan(0.95);
    expect(total / totalBytes).toBeLessThan(1.05);
  });

  test.each(['gemma3', 'lfm2'] as const)(
    'layers that see only the latest tokens take at most the predicted memory for any number of texts: %s',
    async (architecture) => {
      const engine = await engineUnderTest(
        tinyModel({ architecture, type: 'Q4_1', seed: 71, numLayers: 6, contextLength: 4096 }),
        { contextLength: 4096 },
      );
      const session = await engine.session();
      const { config, numPages, batchTokens, totalBytes } = session.plan;
      const most = layerPageBytes(config, { numPages, batchTokens });
      const whole = layerPageBytes(config, { numPages });
      expect(most.map((bytes, layer) => bytes < 0.3 * whole[layer]!)).toEqual(
        most.map((_, layer) => slidingWindowLayers(config).includes(layer)),
      );
      const { cache } = session.transformer;
      const shares: number[] = [];
      const note = (): void => void shares.push(...cache.layers.map(({ buffer }, layer) => buffer.size / most[layer]!));
      const filled = async (slot: number, tokens: number): Promise<Sequence> => {
        const sequence = new Sequence(undefined, slot);
        await fill(session, sequence, anyTokens(session, tokens));
        note();
        return sequence;
      };
      // Short texts, which have pages in every layer, are kept while there is room.
      for (let i = 0; i < 40; i++) session.sequences.giveBack(await filled(0, 90));
      const kept = session.sequences.idle.length;
      expect(kept).toBeGreaterThan(4);
      expect(kept).toBeLessThan(40);
      for (let slot = 0; slot < 4; slot++) await filled(slot, 1024);
      expect(cache.freePages).toBe(0);
      expect(Math.max(...shares)).toBe(1);
      expect(engine.memory().total).toBeLessThan(1.05 * totalBytes);
    },
  );
});

describe('a lost device', () => {
  const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 72 });
  const options = { sampling: { ...GREEDY, logitBias: new Map([0, 2].map((id) => [id, -1000])) }, stop: [] };
  const PROMPT = 'The lamp went out at nine.';

  test('ends the answer with device_lost; the next request rebuilds and answers the same', async () => {
    const reasons: string[] = [];
    const gpu = countGpu();
    const engine = await engineUnderTest(bytes, { gpu: nodeGpu(), onDeviceLost: (reason) => reasons.push(reason) });
    const usual = await answer(engine.complete(PROMPT, { ...options, maxTokens: 20 }));
    const memory = engine.memory();

    const lose = async (): Promise<void> => {
      const { device } = await engine.session();
      let tokens = 0;
      for await (const event of engine.complete(PROMPT, { ...options, maxTokens: 300 })) {
        if (event.type === 'token' && ++tokens === 5) device.gpuDevice.destroy();
      }
    };
    await expectError(lose, 'device_lost', { reason: /./ });
    expect(reasons).toHaveLength(1);
    const again = await answer(engine.complete(PROMPT, { ...options, maxTokens: 20 }));
    expect(again.tokens).toEqual(usual.tokens);
    expect(again.end.usage.cachedTokens).toBe(0);
    expect(engine.memory()).toEqual(memory);
    expect(gpu.liveBytes()).toBe(memory.total);
  });

  test('between requests, and with requests waiting', async () => {
    const engine = await engineUnderTest(bytes, { gpu: nodeGpu(), wait: napping });
    const usual = await answer(engine.complete(PROMPT, { ...options, maxTokens: 20 }));
    (await engine.session()).device.gpuDevice.destroy();
    expect((await answer(engine.complete(PROMPT, { ...options, maxTokens: 20 }))).tokens).toEqual(usual.tokens);

    const { device } = await engine.session();
    // The cache has no room for the third beside the first two.
    const running = [300, 100].map((maxTokens) => answer(engine.complete(PROMPT, { ...options, maxTokens })));
    const waiting = answer(engine.complete(PROMPT, { ...options, maxTokens: 300 }));
    setTimeout(() => device.gpuDevice.destroy(), 30);
    const lost = running.map((request) => expectError(() => request, 'device_lost', { reason: /./ }));
    await Promise.all(lost);
    expect((await waiting).tokens.slice(0, 20)).toEqual(usual.tokens);
  });
});
