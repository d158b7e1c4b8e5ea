import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { ModelConfig } from '../../src/config/model-config.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { Recorder } from '../../src/gpu/recorder.ts';
import { prefillAndSample } from '../../src/measure/steps.ts';
import { Batches } from '../../src/session/batches.ts';
import { layerFlops, PrefillSizes } from '../../src/session/prefill.ts';
import { greedy } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { restOnly } from '../support/tier.ts';
import { Loop } from '../../src/engine/loop.ts';
import { SubmissionSizer } from '../../src/gpu/submissions.ts';

describe('submissions of a prompt are sized by their FLOPs', () => {
  type Sizes = Pick<
    ModelConfig,
    'numLayers' | 'hiddenSize' | 'intermediateSize' | 'numHeads' | 'numKvHeads' | 'headDim'
  >;
  const MODELS = {
    '135M': { numLayers: 30, hiddenSize: 576, intermediateSize: 1536, numHeads: 9, numKvHeads: 3, headDim: 64 },
    '1B': { numLayers: 16, hiddenSize: 2048, intermediateSize: 8192, numHeads: 32, numKvHeads: 8, headDim: 64 },
    '4B': { numLayers: 36, hiddenSize: 2560, intermediateSize: 9728, numHeads: 32, numKvHeads: 8, headDim: 128 },
  } satisfies Record<string, Sizes>;
  const PROMPT = 4096;

  /** Milliseconds of each submission on a device of `flopsPerSecond`, and tokens of each batch. */
  function submissions(sizes: Sizes, flopsPerSecond: number, batchTokens: number): { ms: number[]; batches: number[] } {
    const config = sizes as ModelConfig;
    let now = 0;
    let free = 0;
    const underWay: { at: number; done: () => void }[] = [];
    const submissionSize = new SubmissionSizer(() => now);
    const prefill = new PrefillSizes(config, submissionSize);
    const ms: number[] = [];
    const batches: number[] = [];
    /** Does what prefill does before it sizes the next submission. */
    const room = (): void => {
      if (underWay.length < 2) return;
      const { at, done } = underWay.shift()!;
      now = Math.max(now, at);
      done();
    };
    const submit = (flops: number): void => {
      const taken = (flops / flopsPerSecond) * 1000;
      free = Math.max(free, now) + taken;
      underWay.push({ at: free, done: submissionSize.submitted(flops) });
      ms.push(taken);
    };
    for (let position = 0; position < PROMPT; position += batches.at(-1)!) {
      const tokens = prefill.tokens(batchTokens, position);
      batches.push(tokens);
      for (let from = 0; from < config.numLayers;) {
        room();
        const layers = prefill.layers(config.numLayers - from, tokens, position + tokens);
        submit(layers * layerFlops(config, tokens, position + tokens));
        from += layers;
      }
    }
    return { ms, batches };
  }

  test.each([
    ['135M', 20e9, 64, 64],
    ['135M', 0.2e12, 256, 256],
    ['1B', 0.5e12, 256, 256],
    ['1B', 20e12, 256, 256],
    ['4B', 0.1e12, 256, 32],
    ['4B', 0.2e12, 256, 64],
    ['4B', 2e12, 256, 256],
  ] as const)(
    '%s at %i FLOPS: none is long, and few are needlessly short',
    (model, flopsPerSecond, batchTokens, largest) => {
      const config = MODELS[model];
      const { ms, batches } = submissions(config, flopsPerSecond, batchTokens);
      expect(Math.max(...ms)).toBeLessThan(400); // the first ones, before anything is measured
      expect(Math.max(...ms.slice(3))).toBeLessThanOrEqual(100);
      // No more submissions than the time needs: even cuts of batches, and of layers, at most double their number.
      const total = ms.reduce((sum, each) => sum + each, 0);
      const needed = Math.max(total / 45, 2 * batches.length);
      expect(ms.length).toBeLessThan(needed + 40);
      expect(Math.max(...batches)).toBe(largest);
    },
  );

  test('the first batch of a 1B model is a whole tile of tokens, so that no weights are read for half a tile', () => {
    expect(submissions(MODELS['1B'], 0.5e12, 512).batches[0]).toBe(64);
  });

  test('submissions shrink once two of them show that the device has slowed down', () => {
    let now = 0;
    const submissionSize = new SubmissionSizer(() => now);
    const run = (flops: number, ms: number): void => {
      const done = submissionSize.submitted(flops);
      now += ms;
      done();
    };
    for (let i = 0; i < 20; i++) run(submissionSize.flops, submissionSize.flops / 1e9); // one TFLOPS
    expect(submissionSize.flops / 1e9).toBeCloseTo(90, 0);
    run(9e9, 900); // compiled kernels
    expect(submissionSize.flops / 1e9).toBeCloseTo(90, 0);
    run(90e9, 90);
    run(90e9, 900);
    run(90e9, 900);
    expect(submissionSize.flops / 1e9).toBeCloseTo(9, 1);
    run(1e6, 5); // too short to measure
    expect(submissionSize.flops / 1e9).toBeCloseTo(9, 1);
    for (let i = 0; i < 5; i++) run(1e6, 5000);
    expect(submissionSize.flops).toBeCloseTo(1e9, -3);
  });

  test('the time that a submission waits for another is not counted', () => {
    let now = 0;
    const submissionSize = new SubmissionSizer(() => now);
    const [first, second] = [submissionSize.submitted(5e9), submissionSize.submitted(5e9)];
    now = 50;
    first();
    now = 100;
    second();
    expect(submissionSize.flops).toBeCloseTo(9e9, -6);
  });
});

const numLayers = 4;
const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 31, numLayers, neverEnds: true });
const tokens = randomTokens(165, 270, 7);

/** From now on a submission holds one layer of a whole batch. */
async function slowDown(engine: LocalEngine): Promise<void> {
  const { submissionSize, plan, transformer } = await engine.session();
  const flops = layerFlops(plan.config, transformer.batchTokens, plan.contextLength);
  const spy = vi.spyOn(submissionSize, 'flops', 'get').mockReturnValue(flops);
  onTestFinished(() => spy.mockRestore());
}

describe('a prompt whose batches take several submissions', () => {
  test('has the same logits, bit for bit', async () => {
    const engine = await engineUnderTest(bytes);
    const whole = await logitsOf(engine, tokens);
    await slowDown(engine);
    const { queue } = (await engine.session()).device.gpuDevice;
    const submit = vi.spyOn(queue, 'submit');
    const cut = await logitsOf(engine, tokens);
    expect(submit.mock.calls.length).toBeGreaterThanOrEqual(2 * numLayers);
    submit.mockRestore();
    expect(cut).toEqual(whole);
  });

  const options = { sampling: GREEDY, stop: [], maxTokens: 12 };
  const LONG = 'Tell me of the seven winds, and of the sea. '.repeat(6);
  const OTHER = 'A third wind blows from the hills. '.repeat(4);

  restOnly(() =>
    test('other requests and adapter uploads in between are unaffected', async () => {
      const engine = await engineUnderTest(bytes);
      const { config } = (await engine.session()).plan;
      const load = (name: string, seed: number) =>
        engine.loadAdapter(name, peftSource(tinyAdapter(config, { seed, gain: 2 })));
      await load('poet', 5);
      const adapters = [{ name: 'poet', scale: 1 }];
      const ask = (prompt: string, adapted: boolean) =>
        answer(engine.complete(prompt, { ...options, adapters: adapted ? adapters : [] }));
      const expected = [
        (await ask(LONG, true)).tokens,
        (await ask(OTHER, false)).tokens,
        (await ask(LONG + OTHER, false)).tokens,
      ];
      const fresh = await engine.session();
      for (const sequence of [...fresh.sequences.idle]) sequence.adapters = { ...sequence.adapters, key: 'gone' };
      await slowDown(engine);
      const answers = Promise.all([ask(LONG, true), ask(OTHER, false), ask(LONG + OTHER, false)]);
      for (let i = 0; i < 3; i++) {
        await load('other', 20 + i);
        engine.unloadAdapter('other');
      }
      expect((await answers).map((each) => each.tokens)).toEqual(expected);
    }),
  );

  test('a sample whose mask arrives while a prompt batch is submitted in parts waits for a step of its own', async () => {
    const engine = await engineUnderTest(bytes);
    const session = await engine.session();
    const loop = new Loop(session);
    const anything = new Uint32Array(Math.ceil(session.plan.config.vocabSize / 32)).fill(-1);
    const began = async (slot: number): Promise<{ sequence: Sequence; answer: number[] }> => {
      const sequence = new Sequence(undefined, slot);
      return { sequence, answer: [(await prefillAndSample(session, sequence, tokens.slice(0, 40))).token] };
    };
    const goOn = async (
      { sequence, answer }: Awaited<ReturnType<typeof began>>,
      allowedLater?: Promise<typeof anything>,
    ): Promise<void> => {
      const asked = loop.ask({ ...greedy(sequence, 40 + answer.length), allowedLater });
      sequence.tokens.push(answer.at(-1)!);
      answer.push((await asked).token);
    };
    const plain = await began(0);
    for (let step = 0; step < 4; step++) await goOn(plain);
    loop.leave(plain.sequence);
    session.release(plain.sequence);
    expect(new Set(plain.answer).size).toBeGreaterThan(3); // otherwise logits of an earlier step would give the same
    const allowed = await began(0);
    await slowDown(engine);
    for (let step = 0; step < 4; step++) {
      const hold = vi.spyOn(Batches.prototype, 'hold');
      let going: Promise<void> | undefined;
      hold.mockImplementation(function (this: Batches) {
        hold.mockRestore();
        const release = this.hold();
        going = goOn(allowed, Promise.resolve(anything));
        return release;
      });
      const beside = new Sequence(undefined, 1);
      await session.prefill(beside, tokens, () => undefined);
      await going;
      session.release(beside);
    }
    expect(allowed.answer).toEqual(plain.answer);
  });

  test('is aborted in the middle of a batch; the next answer is right', async () => {
    const engine = await engineUnderTest(bytes);
    const expected = (await answer(engine.complete(OTHER, options))).tokens;
    await slowDown(engine);
    const controller = new AbortController();
    const { recorder } = await engine.session();
    const began = recorder.dispatches;
    let before = 0;
    const submitted = vi.spyOn(recorder, 'submit').mockImplementation(() => {
      Recorder.prototype.submit.call(recorder);
      before ||= recorder.dispatches - began;
      if (before > 0) controller.abort();
    });
    const reading = async (): Promise<void> => {
      for await (const event of engine.complete(LONG, { ...options, signal: controller.signal })) void event;
    };
    await expectError(reading, 'aborted', { reason: /aborted/ });
    expect(before).toBeGreaterThan(0);
    expect(recorder.dispatches - began).toBeLessThanOrEqual(2 * before); // at most one more layer
    submitted.mockRestore();
    expect((await answer(engine.complete(OTHER, options))).tokens).toEqual(expected);
  });
});
