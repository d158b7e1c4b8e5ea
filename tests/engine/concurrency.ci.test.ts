import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import type { GenerateEvent, GenerateOptions } from '../../src/engine/types.ts';
import { ADAPTERS_HERE } from '../support/adapters/adapters-here.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { randomTokens } from '../support/random-tokens.ts';

const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 7, neverEnds: true });
/** Bytes of a page in f16. */
const PAGE_BYTES = 2 * 16384;
const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
const LONG = PROSE.repeat(4);

const start = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}) =>
  engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 12, ...options });
const ask = (engine: LocalEngine, prompt: string, options?: Partial<GenerateOptions>): Promise<Answer> =>
  answer(start(engine, prompt, options));

let quiet: LocalEngine;
beforeAll(
  async () =>
    void (quiet = await openEngine({ gpu: nodeGpu(), wait: napping, sources: [sourceOf(MODEL)], ...ADAPTERS_HERE })),
);
afterAll(() => quiet.dispose());

/** The answer of an idle engine with an empty cache. */
async function alone(prompt: string, options?: Partial<GenerateOptions>): Promise<Answer> {
  await quiet.alone(async ({ sequences, transformer }) => sequences.makeRoom(transformer.cache.numPages));
  return ask(quiet, prompt, options);
}

/** Reads `count` tokens, then pauses. */
async function readSome(stream: AsyncGenerator<GenerateEvent, void>, count = 1): Promise<number[]> {
  const tokens: number[] = [];
  while (tokens.length < count) {
    const { value } = await stream.next();
    if (value?.type === 'token') tokens.push(value.token);
  }
  return tokens;
}

test('the true errors of several texts are reported at once, and concurrent requests are unaffected', async () => {
  const engine = await engineUnderTest(MODEL);
  const shadowed = { kv: 'q4', kvShadow: true } as const;
  const prompts = ['A. ', 'B. ', 'C. '].map((head) => head + LONG);
  const together = await Promise.all([ask(engine, LONG), ...prompts.map((prompt) => ask(engine, prompt, shadowed))]);
  const after = await ask(engine, `D. ${LONG}`);
  expect(together[0]?.tokens).toEqual((await alone(LONG)).tokens);
  expect(after.tokens).toEqual((await alone(`D. ${LONG}`)).tokens);
  for (const [i, prompt] of prompts.entries()) {
    const want = await alone(prompt, shadowed);
    expect(together[i + 1]?.tokens).toEqual(want.tokens);
    const errors = together[i + 1]?.end.report.kv.shadowErrors ?? [];
    expect(errors).toHaveLength(2);
    errors.forEach((error, layer) => expect(error).toBeCloseTo(want.end.report.kv.shadowErrors?.[layer] ?? NaN, 3));
    expect(Math.max(...errors)).toBeGreaterThan(0);
  }
});

test('pages change form at the same tokens as alone, although steps wait for layers of other prompts', async () => {
  const bytes = tinyModel({
    architecture: 'llama',
    type: 'F32',
    seed: 7,
    numLayers: 6,
    contextLength: 1024,
    neverEnds: true,
  });
  const slowEngine = async (): Promise<LocalEngine> => {
    const engine = await engineUnderTest(bytes);
    vi.spyOn((await engine.session()).submissionSize, 'flops', 'get').mockReturnValue(1);
    return engine;
  };
  const told = async (engine: LocalEngine) => {
    const tokens: { token: number; logprob: number | undefined }[] = [];
    for await (const event of start(engine, LONG, { kv: 'policy', maxTokens: 70, topLogprobs: 0 })) {
      if (event.type === 'token') tokens.push({ token: event.token, logprob: event.logprobs?.logprob });
      else return { tokens, pages: event.report.kv.pages };
    }
    throw new Error('the answer has no end');
  };
  const want = await told(await slowEngine());
  const engine = await slowEngine();
  const { pageChanges, device } = await engine.session();
  const { queue } = device.gpuDevice;
  const done = queue.onSubmittedWorkDone.bind(queue);
  vi.spyOn(queue, 'onSubmittedWorkDone').mockImplementation(async () => {
    await done();
    // The token of the previous step is read by then.
    for (let i = 0; i < 3; i++) await new Promise(setImmediate);
    return undefined;
  });
  const settle = pageChanges.settle.bind(pageChanges);
  let waited = 0;
  pageChanges.settle = (sequence, from, to) => {
    if (sequence.tokens.length > from) waited++; // read, but not computed yet
    return settle(sequence, from, to);
  };
  let isDone = false;
  const others = async (): Promise<void> => {
    for (let i = 0; !isDone; i++) await ask(engine, `${i}. ${LONG}`, { maxTokens: 1 });
  };
  const [{ tokens, pages }] = await Promise.all([told(engine).finally(() => (isDone = true)), others()]);
  expect(waited).toBeGreaterThan(5);
  expect(pages).toEqual(want.pages);
  expect(tokens.map(({ token }) => token)).toEqual(want.tokens.map(({ token }) => token));
  tokens.forEach(({ logprob }, i) => expect(logprob).toBeCloseTo(want.tokens[i]?.logprob ?? NaN, 5));
});

test('after a device error the request fails instead of answering with stale results; the next one is right', async () => {
  const reasons: string[] = [];
  const engine = await engineUnderTest(MODEL, { gpu: nodeGpu(), onDeviceLost: (reason) => reasons.push(reason) });
  const usual = await alone(PROSE, { maxTokens: 40 });
  const [stream, other] = [start(engine, PROSE, { maxTokens: 40 }), start(engine, PROSE, { maxTokens: 40 })];
  const tokens = await readSome(stream, 3);
  await readSome(other, 2);
  const session = await engine.session();
  session.transformer.activations.tokens.destroy(); // every step writes this buffer
  const rest = async (): Promise<void> => {
    for await (const event of stream) if (event.type === 'token') tokens.push(event.token);
  };
  await Promise.all([
    expectError(rest, 'device_lost', { reason: /reported an error/ }),
    expectError(() => answer(other), 'device_lost', { reason: /./ }),
  ]);
  expect(tokens).toEqual(usual.tokens.slice(0, tokens.length));
  expect(tokens.length).toBeLessThan(40);
  expect(reasons).toHaveLength(1);
  expect((await ask(engine, PROSE, { maxTokens: 40 })).tokens).toEqual(usual.tokens);
});

test('a step that fails while it is recorded leaves no commands for other steps, and no uncomputed token', async () => {
  const engine = await engineUnderTest(MODEL);
  const { samples, sequences } = await engine.session();
  const record = samples.sampler.record.bind(samples.sampler);
  let steps = 0;
  samples.sampler.record = (...args) => {
    if (++steps === 8) throw new Error('no more');
    record(...args);
  };
  const tokens: number[] = [];
  const failing = async (): Promise<void> => {
    for await (const event of start(engine, PROSE, { maxTokens: 40 }))
      if (event.type === 'token') tokens.push(event.token);
  };
  await expect(failing()).rejects.toThrow('no more');
  expect(tokens).toHaveLength(7); // the step of the last one failed
  expect(sequences.idle.map((idle) => idle.tokens)).toEqual([
    [...engine.tokenizer.encode(PROSE), ...tokens.slice(0, 6)],
  ]);
  const [next, other] = [`${PROSE}And`, `Z. ${PROSE}`];
  const answers = await Promise.all([ask(engine, next), ask(engine, other)]);
  expect(answers.map(({ tokens }) => tokens)).toEqual([(await alone(next)).tokens, (await alone(other)).tokens]);
});

test('an answer that is read slowly is complete, and its pages shrink', async () => {
  const engine = await engineUnderTest(MODEL);
  const { gpuDevice } = (await engine.session()).device;
  const kv = {
    kv: 'policy',
    kvErrorBudget: 16,
    kvMemoryBudget: 7 * PAGE_BYTES,
    kvPriority: 'error',
    maxTokens: 60,
  } as const;
  const prompt = PROSE.repeat(4).slice(0, 240);
  const tokens: number[] = [];
  for await (const event of start(engine, prompt, kv)) {
    if (event.type === 'token') tokens.push(event.token);
    // Every probe has its result by then.
    await gpuDevice.queue.onSubmittedWorkDone();
    for (let i = 0; i < 3; i++) await new Promise(setImmediate);
    if (event.type === 'end') expect(event.report.kv.pages.f16).toBeLessThan(16);
  }
  expect(tokens).toHaveLength(60);
});

test('a further answer copies computed tokens only', async () => {
  const { sequences } = await (await engineUnderTest(MODEL)).session();
  const tokens = randomTokens(100, 270, 3);
  const running = sequences.take(tokens);
  sequences.reserve(running, 64);
  running.tokens.push(...tokens.slice(0, 64)); // the step of the last one may wait for other prompts
  expect(sequences.take(tokens, { slot: 1, isFurther: true }).tokens).toEqual(tokens.slice(0, 63));
});

test('an adapter cannot be unloaded while it loads', async () => {
  const engine = await engineUnderTest(MODEL);
  const { config } = (await engine.session()).plan;
  const loading = engine.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 1 })));
  while (engine.adapters().length === 0) await new Promise(setImmediate);
  expect(() => engine.unloadAdapter('a')).toThrow('in use');
  await loading;
  engine.unloadAdapter('a');
  expect(engine.memory().adapters).toBe(0);
});

test('answers that nobody reads end, and their next read throws `abandoned`', async () => {
  const engine = await engineUnderTest(MODEL, { readTimeoutMs: 20, savedCaches: new MemoryStore() });
  const usual = await alone(PROSE, { maxTokens: 200 });
  const streams = ['A', 'B', 'C', 'D'].map((head) => start(engine, head, { maxTokens: 200 }));
  await Promise.all(streams.map((stream) => readSome(stream)));
  const embedded = engine.embed(['A lamp', 'and a map'], {});
  const [{ tokens }, saved, vector] = await Promise.all([
    ask(engine, PROSE, { maxTokens: 200 }),
    engine.savedCaches.save('x'),
    embedded.next(),
  ]);
  expect(tokens).toEqual(usual.tokens);
  expect(saved.tokens).toBeGreaterThan(0);
  expect(vector.value?.tokens).toBe(6);
  for (const stream of streams) await expectError(() => stream.next(), 'abandoned', { field: 'readTimeoutMs' });
  await engine.savedCaches.save('x'); // once the embeddings, which are not read either, have ended
  await expectError(() => embedded.next(), 'abandoned', { field: 'readTimeoutMs' });
});
