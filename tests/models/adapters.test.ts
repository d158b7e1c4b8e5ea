import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { mutatedAdapters } from '../support/adapters/mutated-adapters.ts';
import { ggufAdapter, peftSource, type TinyAdapterOptions, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { centredLogProbs, ensureLlama } from '../llama/llama.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { answer, USER } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { merged } from '../support/adapters/merged-model.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { temporaryFile } from '../support/temporary-file.ts';
import { NMSE } from '../support/tolerances.ts';
import { byTier, restOnly, TIER } from '../support/tier.ts';

restOnly(() => beforeAll(ensureLlama, 300_000));

/** Adapters that change much without breaking the model: at a larger gain, rounding the factors to f16 would show. */
const GAIN = 0.1;

const TOKENS = randomTokens(70, 270, 3);
const use = (name: string, scale = 1) => ({ name, scale });

async function setUp(model: Partial<TinyModelOptions> = {}, ...adapters: TinyAdapterOptions[]) {
  const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 61, ...model });
  const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
  return { bytes, config, adapters: adapters.map((options) => tinyAdapter(config, options)) };
}

describe('an unmerged adapter computes what merged weights compute', () => {
  const CASES: Record<string, [Partial<TinyModelOptions>, TinyAdapterOptions]> = {
    'llama, rank 4': [{}, { seed: 1 }],
    'llama, rank 33, rsLoRA': [{}, { seed: 2, rank: 33, config: { use_rslora: true } }],
    'llama, q and down of the second layer, F16': [
      {},
      { seed: 3, type: 'F16', targets: ['q_proj', 'down_proj'], layers: [1], config: { layers_to_transform: [1] } },
    ],
  };

  test.each(byTier(Object.entries(CASES).slice(0, 1), Object.entries(CASES)))('%s', async (_name, [model, options]) => {
    const { bytes, adapters } = await setUp(model, { gain: GAIN, ...options });
    const [adapter] = adapters;
    if (!adapter) throw new Error('no adapter');
    const whole = await logitsOf(await engineUnderTest(await merged(bytes, [[adapter, 1]])), TOKENS);
    const engine = await engineUnderTest(bytes);
    const base = await logitsOf(engine, TOKENS);
    await engine.loadAdapter('a', peftSource(adapter));
    const adapted = await logitsOf(engine, TOKENS, { adapters: [use('a')] });
    expect(nmse(adapted, base)).toBeGreaterThan(1e-3);
    expect(nmse(adapted, whole)).toBeLessThan(NMSE.sameModel);
    const oneByOne = await logitsOf(engine, TOKENS, { adapters: [use('a')], pieces: TOKENS.map(() => 1) });
    expect(nmse(oneByOne, whole)).toBeLessThan(NMSE.sameModel);
    expect(await logitsOf(engine, TOKENS)).toEqual(base);
    if (TIER === 'change') return;
    const twoByTwo = await logitsOf(engine, TOKENS, { adapters: [use('a')], pieces: TOKENS.map(() => 2) });
    expect(nmse(twoByTwo, whole)).toBeLessThan(NMSE.sameModel);
    const plain = await engineUnderTest(bytes, { lora: 'unfused' });
    await plain.loadAdapter('a', peftSource(adapter));
    expect(nmse(await logitsOf(plain, TOKENS, { adapters: [use('a')] }), whole)).toBeLessThan(NMSE.sameModel);
  });

  restOnly(() => {
    test('with biases and weights of three buffers, which take the most storage bindings', async () => {
      const { bytes, adapters } = await setUp({ architecture: 'qwen2', type: 'Q5_1' }, { seed: 14, gain: 0.05 });
      const [adapter] = adapters;
      if (!adapter) throw new Error('no adapter');
      const [fused, unfused] = [await engineUnderTest(bytes), await engineUnderTest(bytes, { lora: 'unfused' })];
      for (const engine of [fused, unfused]) await engine.loadAdapter('a', peftSource(adapter));
      const options = { adapters: [use('a')], pieces: [60] };
      const whole = await logitsOf(unfused, TOKENS, options);
      expect(nmse(await logitsOf(fused, TOKENS, options), whole)).toBeLessThan(NMSE.sameModel);
    });
  });

  test('two adapters are summed, each with its own scale', async () => {
    const { bytes, adapters } = await setUp({}, { seed: 6, gain: GAIN }, { seed: 7, rank: 8, gain: GAIN });
    const [first, second] = adapters;
    if (!first || !second) throw new Error('no adapters');
    const whole = await logitsOf(
      await engineUnderTest(
        await merged(bytes, [
          [first, 0.5],
          [second, -1.5],
        ]),
      ),
      TOKENS,
    );
    const engine = await engineUnderTest(bytes);
    await engine.loadAdapter('first', peftSource(first));
    await engine.loadAdapter('second', peftSource(second));
    const both = await logitsOf(engine, TOKENS, { adapters: [use('first', 0.5), use('second', -1.5)] });
    expect(nmse(both, whole)).toBeLessThan(NMSE.sameModel);
  });

  restOnly(() => {
    test.each<[string, Partial<TinyModelOptions>]>([
      ['llama', {}],
      [
        'phi3, whose linears are fused and whose heads are rotated in part',
        { architecture: 'phi3', hiddenSize: 128, headDim: 32, rotaryDim: 24, shortContext: 32, attentionGain: 1 },
      ],
    ])('agrees in PEFT form, in GGUF form, and in llama.cpp: %s', async (_name, model) => {
      const { bytes, config, adapters } = await setUp(model, {
        seed: 8,
        rank: 8,
        ...(model.architecture === 'phi3' && { gain: GAIN }),
      });
      const [adapter] = adapters;
      if (!adapter) throw new Error('no adapter');
      const gguf = ggufAdapter(adapter, config);
      const [modelPath, adapterPath] = [temporaryFile(), temporaryFile()];
      writeFileSync(modelPath, bytes);
      writeFileSync(adapterPath, gguf);
      const llama = await centredLogProbs(modelPath, TOKENS, { path: adapterPath });
      const engine = await engineUnderTest(bytes);
      await engine.loadAdapter('peft', peftSource(adapter));
      await engine.loadAdapter('gguf', { gguf: new BytesSource('adapter.gguf', gguf) });
      const peft = await logitsOf(engine, TOKENS, { adapters: [use('peft')] });
      expect(await logitsOf(engine, TOKENS, { adapters: [use('gguf')] })).toEqual(peft);
      expect(nmse(peft, llama)).toBeLessThan(NMSE.llamaFloat);
    });
  });
});

describe('adapters come and go', () => {
  const options = { maxTokens: 12, sampling: GREEDY, stop: [] };

  test('a swap between requests creates no buffers; a conversation reuses its prefix only with the same adapters', async () => {
    const { bytes, adapters } = await setUp({}, { seed: 9 }, { seed: 10 });
    const engine = await engineUnderTest(bytes);
    const gpu = countGpu();
    for (const [i, adapter] of adapters.entries()) await engine.loadAdapter(`a${i}`, peftSource(adapter));
    const ask = (name?: string) =>
      answer(engine.chat([USER('Hello there')], { ...options, adapters: name === undefined ? [] : [use(name)] }));
    const fresh = { base: await ask(), a0: await ask('a0'), a1: await ask('a1') };
    expect(fresh.a0.end.usage.cachedTokens).toBe(0);
    expect(fresh.a1.end.usage.cachedTokens).toBe(0);
    expect(fresh.a0.tokens).not.toEqual(fresh.base.tokens);
    const { pipelines, bindGroups, buffersCreated, buffersDestroyed } = gpu;
    for (const name of ['a0', 'a1'] as const) {
      const again = await ask(name);
      expect(again.tokens).toEqual(fresh[name].tokens);
      expect(again.end.usage.cachedTokens).toBeGreaterThan(0);
    }
    expect(gpu).toMatchObject({ pipelines, bindGroups, buffersCreated, buffersDestroyed });
  });

  test('unloading frees the memory, and is refused while a request uses the adapter', async () => {
    const { bytes, adapters } = await setUp({}, { seed: 11 });
    const [adapter] = adapters;
    if (!adapter) throw new Error('no adapter');
    const engine = await engineUnderTest(bytes);
    const before = engine.memory();
    const info = await engine.loadAdapter('a', peftSource(adapter));
    expect(engine.memory().adapters).toBe(info.bytes);
    expect(info).toMatchObject({ name: 'a', rank: 4, modules: 14 });
    await expect(engine.loadAdapter('a', peftSource(adapter))).rejects.toMatchObject({ code: 'bad_request' });
    const events = engine.chat([USER('Hello')], { ...options, adapters: [use('a')] });
    await events.next();
    expect(() => engine.unloadAdapter('a')).toThrow(/in use/);
    await events.return();
    engine.unloadAdapter('a');
    expect(engine.memory()).toEqual(before);
    expect(engine.adapters()).toEqual([]);
    const unknown = engine.chat([USER('Hello')], { ...options, adapters: [use('a')] }).next();
    await expect(unknown).rejects.toMatchObject({ code: 'bad_request', detail: { field: 'adapter' } });
  });

  restOnly(() => {
    test('100 loads and unloads leak no memory', async () => {
      const { bytes, adapters } = await setUp({}, { seed: 11 });
      const [adapter] = adapters;
      if (!adapter) throw new Error('no adapter');
      const engine = await engineUnderTest(bytes);
      const before = engine.memory();
      const gpu = countGpu();
      for (let i = 0; i < 100; i++) {
        await engine.loadAdapter('a', peftSource(adapter));
        engine.unloadAdapter('a');
      }
      expect(engine.memory()).toEqual(before);
      expect(gpu.buffersCreated).toBe(gpu.buffersDestroyed);
    });
  });

  restOnly(() => {
    test('500 mutated files load or are refused, without leaks', async () => {
      const { bytes, config, adapters } = await setUp({}, { seed: 11 });
      const [adapter] = adapters;
      if (!adapter) throw new Error('no adapter');
      const engine = await engineUnderTest(bytes);
      await engine.loadAdapter('kept', peftSource(adapter));
      const ask = () => answer(engine.chat([USER('Hello')], { ...options, adapters: [use('kept')] }));
      const { tokens } = await ask();
      const before = engine.memory();
      let refused = 0;
      for (const { what, source } of mutatedAdapters(config, 500)) {
        const failure = await engine.loadAdapter('mutated', source).then(
          () => undefined,
          (error: unknown) => error,
        );
        if (failure) {
          expect(failure, what).toBeInstanceOf(ChunkwiseError);
          refused++;
        } else engine.unloadAdapter('mutated');
        expect(engine.memory(), what).toEqual(before);
      }
      expect(refused).toBeGreaterThan(200);
      expect((await ask()).tokens).toEqual(tokens);
    });
  });

  test('an adapter on every linear adds at most two dispatches per layer in decode', async () => {
    const { bytes, adapters } = await setUp({}, { seed: 13 });
    const [adapter] = adapters;
    if (!adapter) throw new Error('no adapter');
    const engine = await engineUnderTest(bytes);
    await engine.loadAdapter('a', peftSource(adapter));
    const gpu = countGpu();
    /** Dispatches of one decode step, counted at WebGPU itself. */
    const ofAStep = async (adapters: { name: string; scale: number }[]): Promise<number> => {
      const of = async (maxTokens: number): Promise<number> => {
        const before = gpu.dispatches;
        await answer(engine.chat([USER('Hello')], { ...options, maxTokens, adapters }));
        return gpu.dispatches - before;
      };
      await of(4); // the same cached prompt for both counted calls
      return ((await of(12)) - (await of(4))) / 8;
    };
    const base = await ofAStep([]);
    const numLayers = 2;
    // Two outside the layers: one before the first layer, one that chooses the next level.
    expect(await ofAStep([use('a')])).toBeLessThanOrEqual(base + 2 * numLayers + 2);
  });

  restOnly(() => {
    test('a lost device loses them; the next request restores them', async () => {
      const { bytes, adapters } = await setUp({}, { seed: 12 });
      const [adapter] = adapters;
      if (!adapter) throw new Error('no adapter');
      const engine = await engineUnderTest(bytes, { gpu: nodeGpu() });
      await engine.loadAdapter('a', peftSource(adapter));
      const ask = () => answer(engine.chat([USER('Hello')], { ...options, adapters: [use('a')] }));
      const { tokens } = await ask();
      (await engine.session()).device.gpuDevice.destroy();
      await new Promise((resolve) => setTimeout(resolve, 50));
      expect((await ask()).tokens).toEqual(tokens);
    });
  });
});
