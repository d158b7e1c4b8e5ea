import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { KvOptions } from '../../src/cache/policy.ts';
import { forward } from '../reference/forward.ts';
import { referenceOf } from '../reference/model.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { checkPages } from '../../src/session/checks/session-checks.ts';
import { createTokenizer } from '../../src/tokenizer/tokenizer.ts';
import { openSafetensorsModel } from '../../src/weights/safetensors/safetensors-model.ts';
import { readTokenizerMetadata } from '../../src/weights/tokenizer-metadata.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { MemoryTuning } from '../support/memory-tuning.ts';
import { nmse } from '../support/nmse.ts';
import { modelFolder } from '../support/models/safetensors-folder.ts';
import { bytesOf, peftFolder, storedLogits } from '../support/peft-fixtures.ts';
import { NMSE } from '../support/tolerances.ts';

/** Written by tools/fixtures/rope_models.py. */
const FOLDER = join(import.meta.dirname, '../fixtures/rope');
/** The tokenizer of any model with the same vocabulary size; the text does not matter here. */
const TOKENIZER = join(import.meta.dirname, '../fixtures/safetensors/llama/tokenizer.json');
const LOGITS = 8;

interface Case {
  model: string;
  adapter: string | null;
  tokens: number;
  logits: string;
}

const { tokens, original, cases } = JSON.parse(readFileSync(join(FOLDER, 'cases.json'), 'utf8')) as {
  tokens: number[];
  original: number;
  cases: Case[];
};

function filesOf(model: string): BytesSource[] {
  const own = (name: string): string => join(FOLDER, model, name);
  const paths = {
    'config.json': own('config.json'),
    'model.safetensors': own('model.safetensors'),
    'tokenizer.json': existsSync(own('tokenizer.json')) ? own('tokenizer.json') : TOKENIZER,
  };
  return Object.entries(paths).map(([name, path]) => new BytesSource(name, bytesOf(path)));
}

describe('scaled RoPE matches transformers, and PEFT with adapters', () => {
  test.each(cases)('$model, $adapter, $tokens tokens', async ({ model, adapter, tokens: length, logits }) => {
    const expected = storedLogits(join(FOLDER, logits), LOGITS);
    const text = tokens.slice(0, length);
    // A text within the original context uses a context of that length.
    const engine = await engineUnderTest(filesOf(model), {
      weights: 'stored',
      contextLength: length <= original ? original : 256,
    });
    if (adapter !== null)
      expect((await engine.loadAdapter('a', peftFolder(join(FOLDER, model, adapter)))).warnings).toEqual([]);
    const adapters = adapter === null ? [] : [{ name: 'a', scale: 1 }];
    const whole = await logitsOf(engine, text, { adapters });
    expect(nmse(whole.slice(-LOGITS), expected)).toBeLessThan(NMSE.reference);
    const inPieces = await logitsOf(engine, text, { adapters, pieces: [1, 2, 30, 1, 3, length - 40] });
    expect(nmse(inPieces.slice(-LOGITS), expected)).toBeLessThan(NMSE.reference);
  });

  // The one rotates heads in part and scales the rotations, the other scales scores by position.
  test.each(['phi3-longrope', 'ministral3'])('%s, with the GPU kernels', async (model) => {
    const { tokens: length, logits } = cases.find(
      (one) => one.model === model && one.adapter === null && one.tokens > original,
    )!;
    const engine = await engineUnderTest(filesOf(model), {
      weights: 'stored',
      contextLength: 256,
      deviceClass: 'gpu',
    });
    const inPieces = await logitsOf(engine, tokens.slice(0, length), { pieces: [41, 1, 1, 60, length - 110] });
    expect(nmse(inPieces.slice(-LOGITS), storedLogits(join(FOLDER, logits), LOGITS))).toBeLessThan(NMSE.reference);
  });
});

test.each<[string, object]>([
  ['YaRN', { rope_type: 'yarn', factor: 6.4 }],
  ['LongRoPE', { rope_type: 'longrope', factor: 6.4, short_factor: Array(8).fill(1), long_factor: Array(8).fill(3) }],
])('SmolLM3, %s: layers without rotation are not scaled as rotations are', async (_, scaling) => {
  const rope = { rope_theta: 10_000, original_max_position_embeddings: original, ...scaling };
  const files = modelFolder('smollm3', {
    'config.json': (text) => JSON.stringify({ ...(JSON.parse(text) as object), rope_parameters: rope }),
  });
  const text = tokens.slice(0, 64).map((token) => token % 273);
  const engine = await engineUnderTest(files, { weights: 'stored', contextLength: 128 });
  const expected = forward(await referenceOf(await openSafetensorsModel(files)), text);
  expect(nmse(await logitsOf(engine, text), expected)).toBeLessThan(NMSE.reference);
});

test.each(['phi3-longrope', 'ministral3'])(
  '%s: ids match the saved tokenizer, which splits words at case changes',
  async (model) => {
    const { text, ids } = JSON.parse(readFileSync(join(FOLDER, model, 'expected.json'), 'utf8')) as {
      text: string;
      ids: number[];
    };
    const tokenizer = createTokenizer(readTokenizerMetadata(await openSafetensorsModel(filesOf(model))));
    expect(tokenizer.encode(text, { parseSpecial: false, addSpecial: false })).toEqual(ids);
  },
);

test.each([
  ['phi3-longrope', 'cpu'],
  ['ministral3', 'gpu'],
] as const)('the self-check of a new device uses the attention scale: %s, class %s', async (model, deviceClass) => {
  const engine = await engineUnderTest(filesOf(model), {
    weights: 'stored',
    tuning: new MemoryTuning(),
    autotunes: false,
    deviceClass,
  });
  await checkPages(await engine.session(), new MemoryTuning());
});

test('LongRoPE depends on the context length, not on the text', async () => {
  const text = tokens.slice(0, original);
  const of = async (contextLength: number) =>
    (await logitsOf(await engineUnderTest(filesOf('phi3-longrope'), { weights: 'stored', contextLength }), text)).slice(
      -LOGITS,
    );
  const [short, long, longer] = [await of(original), await of(original + 1), await of(256)];
  expect(longer).toEqual(long);
  expect(nmse(long, short)).toBeGreaterThan(1e-3);
});

test('a saved cache is refused with other RoPE frequencies', async () => {
  const savedCaches = new MemoryStore();
  const open = (contextLength: number) =>
    engineUnderTest(filesOf('phi3-longrope'), { weights: 'stored', contextLength, savedCaches });
  const engine = await open(256);
  await answer(engine.complete('Then', { sampling: GREEDY, stop: [], maxTokens: 2 }));
  await engine.savedCaches.save('text');
  await (await open(original + 1)).savedCaches.load('text');
  await expect((await open(original)).savedCaches.load('text')).rejects.toMatchObject({
    code: 'bad_file',
    detail: { file: 'text', field: 'model' },
  });
});

test('if all layers have a window, no page is quantized', async () => {
  const engine = await engineUnderTest(filesOf('phi3-window'), { weights: 'stored', contextLength: 256 });
  const ask = (kv: KvOptions) =>
    answer(
      engine.complete('The theory of the thing '.repeat(7), {
        sampling: GREEDY,
        stop: [],
        maxTokens: 40,
        recomputePrompt: true,
        ...kv,
      }),
    );
  const dense = await ask({});
  for (const kv of [{ kv: 'q4' }, { kv: 'policy', kvErrorBudget: 1 }] as const) {
    const { tokens, end } = await ask(kv);
    expect(tokens).toEqual(dense.tokens);
    expect(end.report.kv.pages).toEqual(dense.end.report.kv.pages);
  }
});
