import { expect, test } from 'vitest';
import { forward } from '../reference/forward.ts';
import { readReferenceModel } from '../reference/model.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import type { ModelHeader } from '../../src/weights/model-header.ts';
import { checkTensors } from '../../src/weights/model-tensors.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../support/engine-under-test.ts';
import { expectReference } from '../support/models/in-pieces.ts';
import { ask, expectAloneAfterAbort, expectEachAlone, expectFurtherAlone, PROSE } from '../support/models/in-turns.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel, type TinyModelOptions } from '../support/models/tiny-model.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { NMSE } from '../support/tolerances.ts';

const EXPERTS = { count: 10, used: 3, intermediateSize: 96 };
const SIZES = {
  architecture: 'qwen3moe',
  numLayers: 3,
  hiddenSize: 64,
  headDim: 32,
  experts: EXPERTS,
  attentionGain: 1,
  ropeTheta: 1e6,
  contextLength: 1024,
  tied: false,
} as const;
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 73, neverEnds: true });
const config = readModelConfig(await openGguf([sourceOf(bytes)]));
const tokens = randomTokens(150, 270, 13);
/** Pieces of odd length, of whole pages, of one token, and of a full decode batch. */
const PIECES = [1, 2, 61, 64, 3, 8, 1];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const STORY = PROSE.repeat(3);

test('logits in pieces, at once and token by token match the reference', () => expectReference(MODEL, 'gpu'));

test('shares are normalized over all experts, if a file says so', async () => {
  const whole = tinyModel({ ...SIZES, type: 'F32', seed: 73, metadata: { 'qwen3moe.expert_weights_norm': false } });
  const logits = await logitsOf(await engineUnderTest(whole), tokens);
  const reference = forward(await readReferenceModel([sourceOf(whole)]), tokens);
  expect(nmse(logits, reference)).toBeLessThan(NMSE.reference);
  expect(nmse(forward(await readReferenceModel([sourceOf(bytes)]), tokens), reference)).toBeGreaterThan(1e-3);
});

test('concurrent sequences, further answers, speculation and requests after an abort do not affect each other', async () => {
  const first = await expectEachAlone(bytes, [STORY, `${PROSE}A third`, 'Winds'], { maxTokens: 24 });
  expect(await expectFurtherAlone(bytes, STORY, first, { maxTokens: 24 })).toBeGreaterThan(100);
  await expectAloneAfterAbort(bytes, STORY, first, { maxTokens: 24 });
});

test('an adapter of experts is refused by name', async () => {
  const engine = await engineUnderTest(bytes);
  const adapter = tinyAdapter(config, { seed: 3 });
  const [module] = adapter.modules;
  for (const name of [
    'model.layers.0.mlp.experts.3.gate_proj',
    'model.layers.0.mlp.gate_proj',
    'model.layers.0.mlp.gate',
  ]) {
    const modules = [...adapter.modules, { ...module!, name }];
    const source = peftSource({
      ...adapter,
      config: { ...adapter.config, target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', name.split('.').at(-1)] },
      modules,
    });
    await expect(engine.loadAdapter('experts', source)).rejects.toMatchObject({
      code: 'unsupported',
      detail: { field: expect.stringContaining(name) as string },
    });
  }
});

test('a layer has ten dispatches', async () => {
  const engine = await engineUnderTest(bytes);
  // q/k/v, store, attention, merge, output; then router, selection, gate and up, down, sum.
  await ask(engine, 'Winds');
  expect((await engine.session()).transformer.dispatchesPerLayer).toBeLessThanOrEqual(10);
});

test('missing experts, wrong numbers of them, and gates of another type are refused before loading', async () => {
  const refused = (file: ModelHeader, code: 'bad_file' | 'unsupported', field: string, reason: RegExp): void => {
    const detail = { file: 'tiny.gguf', field, reason: expect.stringMatching(reason) as string };
    expect(() => checkTensors(file, readModelConfig(file))).toThrow(
      expect.objectContaining({ code, detail: expect.objectContaining(detail) as object }),
    );
  };
  const open = (options: Partial<TinyModelOptions>): Promise<ModelHeader> =>
    openGguf([sourceOf(tinyModel({ ...SIZES, type: 'F16', seed: 1, ...options }))]);
  refused(
    await open({ types: { 'blk.1.ffn_up_exps': 'Q8_0' } }),
    'unsupported',
    'blk.1.ffn_up_exps.weight',
    /in Q8_0, but blk\.1\.ffn_gate_exps\.weight in F16/,
  );
  const whole = await open({});
  for (const name of ['blk.0.ffn_gate_inp.weight', 'blk.2.ffn_down_exps.weight']) {
    refused({ ...whole, tensors: whole.tensors.filter((tensor) => tensor.name !== name) }, 'bad_file', name, /missing/);
  }
  refused(
    await open({ metadata: { 'qwen3moe.expert_count': 9 } }),
    'bad_file',
    'blk.0.ffn_gate_inp.weight',
    /\[10, 64\], but the metadata require \[9, 64\]/,
  );
  refused(
    await open({ metadata: { 'qwen3moe.expert_feed_forward_length': 64 } }),
    'bad_file',
    'blk.0.ffn_gate_exps.weight',
    /\[10, 96, 64\], but the metadata require \[10, 64, 64\]/,
  );
});

test('the residual share of every layer is measured', async () => {
  const { residualShares } = (await (await engineUnderTest(bytes)).session()).pageChanges;
  expect(residualShares).toHaveLength(SIZES.numLayers);
  for (const share of residualShares) expect(share).toBeGreaterThan(0);
});
