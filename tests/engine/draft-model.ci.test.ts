import { expect, describe, test } from 'vitest';
import { nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openAnyEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { ADAPTERS_HERE } from '../support/adapters/adapters-here.ts';
import type { Answer } from '../support/answer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { type EngineTestOptions, engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { FreeSteps } from '../support/drafts/free-steps.ts';
import { abortAt, ask as askFor, sameAnswers, TOKENS } from '../support/drafts/speculating.ts';
import { lastingGpu } from '../support/gpu/lasting-gpu.ts';
import { encoderFolder, encoderGguf } from '../support/models/encoder-folder.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';

const MODEL: TinyModelOptions = { architecture: 'llama', type: 'Q4_1', seed: 83, contextLength: 512, neverEnds: true };
const model = tinyModel(MODEL);
/** A model that gives other answers. */
const other = tinyModel({ ...MODEL, seed: 84 });
const PROMPT = 'Nothing of this stands here twice: a fox, seven jugs, or quartz';

async function engineWith(draft: Uint8Array, options: EngineTestOptions = {}, isFree = true): Promise<LocalEngine> {
  const engine = await engineUnderTest(model, { ...options, draftModel: [sourceOf(draft)] });
  if (isFree) (await engine.session()).stepCosts = new FreeSteps();
  return engine;
}

const ask = (engine: LocalEngine, options: Partial<GenerateOptions> = {}, prompt = PROMPT): Promise<Answer> =>
  askFor(engine, options, prompt);

/** Expects the same answer with and without speculation; returns tokens per step. */
async function expectSame(
  engine: LocalEngine,
  options: Partial<GenerateOptions> = {},
  prompt = PROMPT,
): Promise<number> {
  const { plain, speculated } = await sameAnswers((speculate) => ask(engine, { ...options, speculate }, prompt));
  expect(plain.end.report.tokensPerStep).toBe(1);
  return speculated.end.report.tokensPerStep;
}

describe('an answer that a draft model drafts is the same', () => {
  test('where drafts are right: more than four tokens a step', async () => {
    const engine = await engineWith(model);
    expect(await expectSame(engine)).toBeGreaterThan(4);
    // Reuses the prefix that both models have cached.
    expect(await expectSame(engine, {}, `${PROMPT} and a bell`)).toBeGreaterThan(4);
    const drafts = (await engine.session()).draftModel!;
    expect(drafts.sequences.idle.length).toBeGreaterThan(0);
    for (const { tokens, pages } of drafts.sequences.idle) expect(pages.length).toBe(Math.ceil(tokens.length / 32));
  });

  test('if layers of both models have states', async () => {
    const STATES = { architecture: 'qwen35', type: 'F32', numLayers: 4, contextLength: 512, neverEnds: true } as const;
    const withStates = tinyModel({ ...STATES, seed: 5 });
    const drafting = async (draft: Uint8Array): Promise<LocalEngine> => {
      const engine = await engineUnderTest(withStates, { draftModel: [sourceOf(draft)] });
      (await engine.session()).stepCosts = new FreeSteps();
      return engine;
    };
    const engine = await drafting(withStates);
    expect(await expectSame(engine, { maxTokens: 40 })).toBeGreaterThan(4);
    expect(await expectSame(engine, { maxTokens: 40 }, `${PROMPT} and a bell`)).toBeGreaterThan(4);
    const different = await drafting(tinyModel({ ...STATES, seed: 6 }));
    expect(await expectSame(different, { maxTokens: 40 })).toBeLessThan(2);
  });

  test('if drafts are wrong', async () => {
    const engine = await engineWith(other);
    // Only drafts copied from the text, which repeats itself in the end.
    expect(await expectSame(engine)).toBeLessThan(2);
  });

  test.each([
    // Both models probe their layers at 8 pages.
    ['cache by policy', { kv: 'policy', maxTokens: 200 }],
    ['a grammar', { responseFormat: { type: 'grammar', grammar: 'root ::= ("ab" | "cd" | "e")+' } }],
    ['a seed, at temperature', { sampling: { ...GREEDY, temperature: 0.4, seed: 9 } }],
    ['penalties', { sampling: { ...GREEDY, repetitionPenalty: 1.1, frequencyPenalty: 0.1 } }],
  ] as [string, Partial<GenerateOptions>][])('with %s', async (_, options) => {
    const engine = await engineWith(model);
    expect(await expectSame(engine, options)).toBeGreaterThan(1.3);
  });

  test('with an adapter, which the draft model does not have', async () => {
    const engine = await engineWith(model);
    const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', model)]));
    await engine.loadAdapter('tiny', peftSource(tinyAdapter(config, { seed: 21, rank: 16, gain: 0.02 })));
    for (const ranks of ['uniform', 'chunkwise'] as const) {
      expect(await expectSame(engine, { adapters: [{ name: 'tiny', scale: 1 }], ranks })).toBeGreaterThan(1.2);
    }
  });

  test('if the draft model has a shorter context', async () => {
    const engine = await engineWith(tinyModel({ ...MODEL, contextLength: 96 }));
    const steps = await expectSame(engine, { maxTokens: 100 });
    expect(steps).toBeGreaterThan(2);
    expect(steps).toBeLessThan(4);
    // The draft model does not read a prompt longer than its context.
    const { idle } = (await engine.session()).draftModel!.sequences;
    const before = idle.length;
    await expectSame(engine, { maxTokens: 40 }, PROMPT.repeat(3));
    expect(idle.length).toBe(before);
  });

  test('with several sequences side by side, and after one was aborted', async () => {
    const engine = await engineWith(model);
    const prompts = [PROMPT, 'The tide, a lamp', 'Who goes there'];
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push((await ask(engine, { speculate: false }, prompt)).tokens);
    const together = await Promise.all(
      prompts.map((prompt, i) => ask(engine, { maxTokens: TOKENS - 20 + 10 * i }, prompt)),
    );
    together.forEach(({ tokens }, i) => expect(tokens).toEqual(alone[i]?.slice(0, TOKENS - 20 + 10 * i)));
    await abortAt(engine, {}, 20, PROMPT);
    expect((await ask(engine)).tokens).toEqual(alone[0]);
  });

  test.each(['while it reads', 'while it drafts'])(
    'where the draft model loses its device %s: answers continue without drafts',
    async (when) => {
      const engine = await engineWith(model, { gpu: nodeGpu() });
      const plain = await ask(engine, { speculate: false });
      const drafts = (await engine.session()).draftModel!;
      const lose = (): void => drafts.device.gpuDevice.destroy();
      if (when === 'while it reads') {
        const prefill = drafts.prefill.bind(drafts);
        drafts.prefill = (...args) => {
          const reading = prefill(...args);
          lose();
          return reading;
        };
      } else {
        const decode = drafts.batches.decode.bind(drafts.batches);
        drafts.batches.decode = (samples) => {
          const step = decode(samples);
          lose();
          return step;
        };
      }
      expect((await ask(engine)).tokens).toEqual(plain.tokens);
      expect(drafts.device.lost()).toBeDefined();
      expect((await engine.session()).draftModel).toBeUndefined();
      expect(await expectSame(engine)).toBeLessThan(2);
    },
  );

  test('if the draft model cannot read', async () => {
    const engine = await engineWith(model);
    const { draftModel } = await engine.session();
    draftModel!.prefill = () => Promise.reject(new TypeError('not a ChunkwiseError'));
    // vitest fails as well if a rejection has no handler.
    expect(await expectSame(engine)).toBeLessThan(2);
  });

  test('if the model loses its device: both models are reopened', async () => {
    const engine = await engineWith(model, { gpu: nodeGpu() });
    const plain = await ask(engine, { speculate: false });
    const { device, draftModel } = await engine.session();
    device.gpuDevice.destroy();
    await device.gpuDevice.lost;
    const again = await engine.session();
    expect(draftModel!.device.buffers.report().total).toBe(0);
    again.stepCosts = new FreeSteps();
    const { tokens, end } = await ask(engine);
    expect(tokens).toEqual(plain.tokens);
    expect(end.report.tokensPerStep).toBeGreaterThan(4);
  });
});

test('nothing is drafted or read if drafts save no time', async () => {
  const engine = await engineWith(model, {}, false); // a drafted token takes as long as a step
  expect(await expectSame(engine)).toBeLessThan(2);
  expect((await engine.session()).draftModel!.sequences.idle).toEqual([]);
});

test("the draft model's memory is reported, and freed", async () => {
  const plain = await engineUnderTest(model);
  const engine = await engineWith(other);
  const { draftModel, device } = await engine.session();
  expect(engine.memory().weights).toBe(plain.memory().weights + draftModel!.memory().weights);
  expect(draftModel!.memory().weights).toBeGreaterThan(0);
  engine.dispose();
  expect([device, draftModel!.device].map((each) => each.buffers.report().total)).toEqual([0, 0]);
});

describe('a model that cannot draft is refused', () => {
  const refused = (
    draft: Uint8Array,
    code: 'unsupported' | 'over_limit' | 'bad_file',
    detail: object,
    options: EngineTestOptions = {},
  ): Promise<void> =>
    expectError(
      () => engineUnderTest(model, { ...options, draftModel: [new BytesSource('draft.gguf', draft)] }),
      code,
      { file: 'draft.gguf', ...detail },
    );

  test('if it has other tokens', async () => {
    await refused(tinyModel({ ...MODEL, tokenizer: 'llama' }), 'unsupported', { field: 'tokenizer.ggml.tokens' });
    await refused(tinyModel({ ...MODEL, vocabSize: 273 + 129 }), 'unsupported', {
      field: 'tokenizer.ggml.tokens',
      reason: /402 tokens/,
    });
    const padded = await engineWith(tinyModel({ ...MODEL, vocabSize: 273 + 128 }));
    await expectSame(padded);
  });

  test('if it or the model is an encoder', async () => {
    const encoder = await encoderGguf(encoderFolder());
    await expectError(() => engineUnderTest(model, { draftModel: encoder }), 'unsupported', {});
    await expectError(
      () => openAnyEngine({ gpu: lastingGpu(), sources: encoder, draftModel: [sourceOf(model)], ...ADAPTERS_HERE }),
      'unsupported',
      { field: 'draftModel' },
    );
  });

  test('if it is damaged, or exceeds the rest of the memory limit', async () => {
    await refused(model.slice(0, 1000), 'bad_file', {});
    const { plan } = await (await engineUnderTest(model)).session();
    await refused(model, 'over_limit', { field: 'memoryLimitBytes' }, { memoryLimitBytes: 2 * plan.totalBytes - 1 });
    await engineUnderTest(model, { memoryLimitBytes: 2 * plan.totalBytes, draftModel: [sourceOf(model)] });
  });
});
