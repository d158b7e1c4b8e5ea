import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { forward } from '../../src/reference/forward.ts';
import { readReferenceModel } from '../../src/reference/model.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { answer, type Answer } from '../support/answer.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../support/engine-under-test.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { NMSE } from '../support/tolerances.ts';

const EXPERTS = { count: 10, used: 3, intermediateSize: 96 };
const SIZES = { architecture: 'qwen3moe', numLayers: 3, hiddenSize: 64, headDim: 32, experts: EXPERTS, attentionGain: 1, ropeTheta: 1e6, contextLength: 1024 } as const;
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 73, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
const tokens = randomTokens(150, 270, 13);
/** Odd, of whole pages, one, and as many as are decoded at once. */
const PIECES = [1, 2, 61, 64, 3, 8, 1];
const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';
const STORY = PROSE.repeat(3);

const ask = (engine: LocalEngine, prompt: string, options: Partial<GenerateOptions> = {}): Promise<Answer> =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 24, ...options }));

test.each(['cpu', 'gpu'] as const)('in pieces, at once and one by one are the reference: class %s', async (deviceClass) => {
  const engine = await engineUnderTest(bytes, { deviceClass });
  const atOnce = await logitsOf(engine, tokens);
  const reference = forward(await readReferenceModel([sourceOf(bytes)]), tokens);
  expect(nmse(atOnce, reference)).toBeLessThan(NMSE.reference);
  expect(nmse(await logitsOf(engine, tokens, { pieces: PIECES }), atOnce)).toBeLessThan(NMSE.sameModel);
  expect(nmse(await logitsOf(engine, tokens, { pieces: Array<number>(tokens.length).fill(1) }), atOnce)).toBeLessThan(NMSE.sameModel);
});

test('shares of all experts, where a file says so', async () => {
  const whole = tinyModel({ ...SIZES, type: 'F32', seed: 73, metadata: { 'qwen3moe.expert_weights_norm': false } });
  const logits = await logitsOf(await engineUnderTest(whole), tokens);
  const reference = forward(await readReferenceModel([sourceOf(whole)]), tokens);
  expect(nmse(logits, reference)).toBeLessThan(NMSE.reference);
  expect(nmse(forward(await readReferenceModel([sourceOf(bytes)]), tokens), reference)).toBeGreaterThan(1e-3);
});

test('a second turn, cached, saved and loaded, or neither', async () => {
  const savedCaches = new MemoryStore();
  const engine = await engineUnderTest(bytes, { savedCaches });
  const first = await ask(engine, STORY);
  const turn = STORY + first.text + PROSE;
  await engine.savedCaches.save('story');
  const cached = await ask(engine, turn);
  expect(cached.end.usage.cachedTokens).toBeGreaterThan(100);
  const another = await engineUnderTest(bytes, { savedCaches });
  await another.savedCaches.load('story');
  const loaded = await ask(another, turn);
  expect(loaded.end.usage).toEqual(cached.end.usage);
  expect(loaded.tokens).toEqual(cached.tokens);
  expect((await ask(await engineUnderTest(bytes), turn)).tokens).toEqual(cached.tokens);
});

test('streams side by side, and speculation, are each alone', async () => {
  const prompts = [STORY, `${PROSE}A third`, 'Winds'];
  const alone = [];
  for (const prompt of prompts) alone.push((await ask(await engineUnderTest(bytes), prompt)).tokens);
  const engine = await engineUnderTest(bytes);
  const together = await Promise.all(prompts.map((prompt) => ask(engine, prompt)));
  expect(together.map((each) => each.tokens)).toEqual(alone);
  expect((await ask(engine, STORY, { speculate: true })).tokens).toEqual(alone[0]);
});

test.each(['cpu', 'gpu'] as const)('with an adapter off it is the base, bit for bit; on it is the same in pieces and at once: class %s', async (deviceClass) => {
  const engine = await engineUnderTest(bytes, { deviceClass });
  const base = await logitsOf(engine, tokens, { pieces: PIECES });
  await engine.loadAdapter('one', peftSource(tinyAdapter(config, { seed: 3, gain: 0.2 })));
  expect(await logitsOf(engine, tokens, { pieces: PIECES })).toEqual(base);
  const adapters = [{ name: 'one', scale: 1 }];
  const atOnce = await logitsOf(engine, tokens, { adapters });
  expect(nmse(atOnce, base)).toBeGreaterThan(1e-3);
  expect(nmse(await logitsOf(engine, tokens, { adapters, pieces: PIECES }), atOnce)).toBeLessThan(NMSE.sameModel);
});

test('an adapter of experts is refused by name', async () => {
  const engine = await engineUnderTest(bytes);
  const adapter = tinyAdapter(config, { seed: 3 });
  const [module] = adapter.modules;
  for (const name of ['model.layers.0.mlp.experts.3.gate_proj', 'model.layers.0.mlp.gate_proj', 'model.layers.0.mlp.gate']) {
    const modules = [...adapter.modules, { ...module!, name }];
    const source = peftSource({ ...adapter, config: { ...adapter.config, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', name.split('.').at(-1)] }, modules });
    await expect(engine.loadAdapter('experts', source)).rejects.toMatchObject({ code: 'unsupported', detail: { field: expect.stringContaining(name) as string } });
  }
});

test('what is uploaded is what the file holds; a layer takes ten dispatches', async () => {
  const quantized = tinyModel({ ...SIZES, hiddenSize: 256, headDim: 64, experts: { ...EXPERTS, intermediateSize: 256 }, type: 'Q4_K', seed: 74, neverEnds: true });
  const engine = await engineUnderTest(quantized);
  const session = await engine.session();
  const inFile = [...checkTensors(await openGguf([sourceOf(quantized)]), session.plan.config).values()].reduce((sum, tensor) => sum + tensor.bytes, 0);
  expect(engine.memory().weights).toBeLessThan(1.05 * inFile);
  // q, k and v, storing, attention, merging, output; then the router, its choice, gate and up, down, their sum.
  await ask(engine, 'Winds');
  expect(session.transformer.dispatchesPerLayer).toBeLessThanOrEqual(10);
});

test('gates of another type than ups are refused before anything is loaded', async () => {
  const file = await openGguf([sourceOf(tinyModel({ ...SIZES, type: 'F16', seed: 1, types: { 'blk.1.ffn_up_exps': 'Q8_0' } }))]);
  expect(() => checkTensors(file, readModelConfig(file))).toThrow(expect.objectContaining({ code: 'unsupported', detail: expect.objectContaining({ field: 'blk.1.ffn_up_exps.weight' }) as unknown }));
});

test('of every layer it is known what a change of its attention does to the residual stream', async () => {
  const { residualShares } = (await (await engineUnderTest(bytes)).session()).trials;
  expect(residualShares).toHaveLength(SIZES.numLayers);
  for (const share of residualShares) expect(share).toBeGreaterThan(0);
});
