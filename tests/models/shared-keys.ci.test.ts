import { expect, test } from 'vitest';
import { policyOf } from '../../src/cache/policy.ts';
import { pagesBeforeWindow } from '../../src/cache/cache-page.ts';
import { sharesKeys, windowOfLayer } from '../../src/config/model-config.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { onGpu, PER_LAYER } from '../../src/weights/model-tensors.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { engineUnderTest, logitsOf, sourceOf } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { expectPoisonChangesNothing, expectReference } from '../support/models/in-pieces.ts';
import {
  ask,
  expectAloneAfterAbort,
  expectEachAlone,
  expectFurtherAlone,
  expectSecondTurn,
  PROSE,
} from '../support/models/in-turns.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

/** Gemma 4: two of three layers have a window; the last three of nine share the keys of the fifth and sixth. */
const WINDOW = 40;
const SIZES = {
  architecture: 'gemma4',
  numLayers: 9,
  hiddenSize: 64,
  intermediateSize: 96,
  headDim: 32,
  ropeTheta: 1e6,
  window: WINDOW,
  contextLength: 1024,
  tied: false,
} as const;
const bytes = tinyModel({ ...SIZES, type: 'F32', seed: 71, neverEnds: true });
const gguf = await openGguf([sourceOf(bytes)]);
const config = readModelConfig(gguf);
/** Nine windows long. */
const tokens = randomTokens(360, 270, 12);
const PIECES = [1, 2, 61, 64, 130, 7, 33];
const MODEL = { bytes, config, tokens, pieces: PIECES };
const STORY = PROSE.repeat(5);
const QUESTION = `${STORY}Which of the winds is warm, and who has heard it?`;

test('logits in pieces, at once and token by token match the reference', () => expectReference(MODEL, 'gpu'));

test('without shared keys', async () => {
  const bytes = tinyModel({ ...SIZES, numLayers: 6, type: 'F32', seed: 72, shared: 0 });
  const config = readModelConfig(await openGguf([sourceOf(bytes)]));
  expect(config.sharedKeys).toBeUndefined();
  await expectReference({ bytes, config, tokens: tokens.slice(0, 150), pieces: [40, 1, 70] }, 'cpu');
  await expectError(async () => ask(await engineUnderTest(bytes), STORY, { kv: 'policy' }), 'unsupported', {
    field: 'kv',
    reason: /gemma4/,
  });
});

test('pages before a window are freed by the layer that owns them, and NaN in them changes nothing', async () => {
  const { poisoned } = await expectPoisonChangesNothing(MODEL, 'gpu', (bytes) =>
    new Uint16Array(bytes / 2).fill(0x7e00),
  );
  const [count = 0] = poisoned;
  expect(count).toBeGreaterThanOrEqual(pagesBeforeWindow(config, tokens.length - 62));
  expect(poisoned).toEqual(
    poisoned.map((_, layer) => (windowOfLayer(config, layer) !== undefined && !sharesKeys(config, layer) ? count : 0)),
  );
});

test('rows of the per-layer embeddings are read on demand, and take no GPU memory', async () => {
  const {
    offset,
    bytes: size,
    shape: [rows = 0],
  } = gguf.tensors.find(({ name }) => name === PER_LAYER.embeddings)!;
  const reads: [from: number, length: number][] = [];
  const source = new BytesSource('tiny.gguf', bytes);
  const read = source.read.bind(source);
  source.read = (from, length) => {
    if (from < offset + size && from + length > offset) reads.push([from, length]);
    return read(from, length);
  };
  const engine = await engineUnderTest(source);
  const opened = reads.length;
  const text = [7, 9, 7, 11];
  await logitsOf(engine, text);
  const rowBytes = size / rows;
  // Rows that the warm-up did not read are read, one per token; no token's row is read again.
  expect(reads.slice(opened)).toEqual([7, 9, 11].map((id) => [offset + id * rowBytes, rowBytes]));
  await logitsOf(engine, text);
  expect(reads).toHaveLength(opened + 3);
  const others = onGpu((await engine.session()).plan.tensors).reduce((sum, tensor) => sum + tensor.bytes, 0);
  expect(Math.abs(engine.memory().weights - others)).toBeLessThan(size / 4);
});

test('a second turn gives equal answers cached, saved and loaded, or uncached', async () => {
  const { end } = await expectSecondTurn(bytes, STORY, {});
  expect(end.usage.cachedTokens).toBeGreaterThan(5 * WINDOW);
});

test('concurrent sequences, further answers, speculation and requests after an abort do not affect each other', async () => {
  const first = await expectEachAlone(bytes, [QUESTION, `${PROSE.repeat(3)}A third`]);
  expect(await expectFurtherAlone(bytes, QUESTION, first)).toBeGreaterThan(5 * WINDOW);
  await expectAloneAfterAbort(bytes, QUESTION, first);
});

test('an answer with a grammar works while samples wait for steps that wait for rows', async () => {
  const engine = await engineUnderTest(bytes);
  const responseFormat = {
    type: 'json_schema',
    schema: {
      type: 'object',
      properties: { a: { enum: [1, 22] }, b: { enum: ['x', 'y'] } },
      required: ['a', 'b'],
      additionalProperties: false,
      'x-guidance': { whitespace_flexible: false }, // a random model would often choose white space
    },
  } as const;
  const alone = await ask(engine, PROSE, { responseFormat, maxTokens: 90 });
  expect(JSON.parse(alone.text)).toEqual({
    a: expect.toBeOneOf([1, 22]) as number,
    b: expect.toBeOneOf(['x', 'y']) as string,
  });
  const free = await ask(engine, QUESTION);
  const [beside, other] = await Promise.all([
    ask(engine, PROSE, { responseFormat, maxTokens: 90 }),
    ask(engine, QUESTION),
  ]);
  expect([beside.tokens, other.tokens]).toEqual([alone.tokens, free.tokens]);
});

test('shared keys and values stay in f16: other forms are refused by name', async () => {
  const engine = await engineUnderTest(bytes);
  for (const kv of ['policy', 'q4'] as const) {
    await expectError(() => ask(engine, STORY, { kv }), 'unsupported', { field: 'kv', reason: /gemma4/ });
    await expectError(() => logitsOf(engine, tokens, { policy: policyOf({ kv }) }), 'unsupported', {
      field: 'kv',
      reason: /gemma4/,
    });
  }
  expect((await ask(engine, STORY, { kv: 'dense' })).tokens).toHaveLength(40);
});

test('adapters of per-layer input weights are refused by name', async () => {
  const engine = await engineUnderTest(bytes);
  const adapter = tinyAdapter(config, { seed: 3, targets: ['q_proj'], layers: [0] });
  const name = 'model.layers.0.per_layer_input_gate';
  const other = { ...adapter, modules: adapter.modules.map((module) => ({ ...module, name })) };
  await expectError(() => engine.loadAdapter('one', peftSource(other)), 'unsupported', {
    field: `base_model.${name.replace('model', 'model.model')}.lora_A.weight`,
  });
  // A layer that shares keys computes none.
  const keys = tinyAdapter(config, { seed: 3, targets: ['k_proj'], layers: [0] });
  const moved = {
    ...keys,
    modules: keys.modules.map((module) => ({ ...module, name: 'model.layers.8.self_attn.k_proj' })),
  };
  await expectError(() => engine.loadAdapter('two', peftSource(moved)), 'unsupported', {
    reason: /layer 8 .* has no such linear/,
  });
});
