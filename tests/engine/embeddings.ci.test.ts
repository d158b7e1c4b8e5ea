import { describe, expect, it } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { finalStates } from '../reference/forward.ts';
import { readReferenceModel } from '../reference/model.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer, USER } from '../support/answer.ts';
import { engineUnderTest, sourceOf } from '../support/engine-under-test.ts';
import { merged } from '../support/adapters/merged-model.ts';
import { randomTokens } from '../support/random-tokens.ts';

const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 91, contextLength: 320, numLayers: 1 });
/** One token; a few, in decode form; and more than one batch. */
const INPUTS = [1, 3, 300].map((length) => randomTokens(length, 270, length));

async function embeddings(
  engine: Awaited<ReturnType<typeof engineUnderTest>>,
  inputs: readonly (string | number[])[],
  adapter?: string,
) {
  const all = [];
  const options = { adapters: adapter === undefined ? [] : [{ name: adapter, scale: 1 }] };
  for await (const embedding of engine.embed(inputs, options)) all.push(embedding);
  return all;
}

const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);

/** The reference's embedding. */
async function expected(bytes: Uint8Array, tokens: readonly number[]): Promise<Float64Array> {
  const states = finalStates(await readReferenceModel([sourceOf(bytes)]), tokens);
  const mean = (states[0] as Float64Array).map((_, i) => states.reduce((sum, row) => sum + (row[i] ?? 0), 0));
  const length = Math.hypot(...mean);
  return mean.map((value) => value / length);
}

describe('an embedding', () => {
  it('is the normalized mean of the last hidden states, as in the reference, for any length', async () => {
    const engine = await engineUnderTest(MODEL);
    const found = await embeddings(engine, INPUTS);
    for (const [i, input] of INPUTS.entries()) {
      const { vector, tokens } = found[i] ?? { vector: [], tokens: 0 };
      expect(tokens).toBe(input.length);
      expect(cosine(vector, vector)).toBeCloseTo(1, 5);
      expect(1 - cosine(vector, await expected(MODEL, input))).toBeLessThan(1e-5);
    }
    expect(cosine(found[0]?.vector ?? [], found[2]?.vector ?? [])).toBeLessThan(0.99);
  });

  it("is the same during a chat, leaves the chat's answer unchanged, and frees its memory", async () => {
    const engine = await engineUnderTest(MODEL);
    const chat = () => answer(engine.chat([USER('Hi')], { maxTokens: 24, sampling: GREEDY, stop: [] }));
    const [alone] = await embeddings(engine, ['One two three.']);
    const text = (await chat()).text;
    const { staging } = engine.memory();
    const [answered, [beside]] = await Promise.all([chat(), embeddings(engine, ['One two three.'])]);
    expect(answered.text).toBe(text);
    expect(cosine(beside?.vector ?? [], alone?.vector ?? [])).toBeCloseTo(1, 6);
    expect(engine.memory().staging).toBe(staging);
  });

  it('takes an adapter at full rank', async () => {
    const adapter = tinyAdapter(readModelConfig(await openGguf([new BytesSource('tiny.gguf', MODEL)])), {
      seed: 5,
      gain: 0.1,
    });
    const engine = await engineUnderTest(MODEL);
    await engine.loadAdapter('a', peftSource(adapter));
    const tokens = INPUTS[2] as number[];
    const [[plain], [adapted]] = [await embeddings(engine, [tokens]), await embeddings(engine, [tokens], 'a')];
    const wanted = await expected(await merged(MODEL, [[adapter, 1]]), tokens);
    expect(1 - cosine(adapted?.vector ?? [], wanted)).toBeLessThan(1e-5);
    expect(1 - cosine(plain?.vector ?? [], wanted)).toBeGreaterThan(1e-4);
    engine.unloadAdapter('a');
  });
});

it('texts without tokens, with unknown tokens, or longer than the context are refused before any is computed', async () => {
  const engine = await engineUnderTest(MODEL);
  const first = (inputs: (string | number[])[]) => engine.embed(inputs, {}).next();
  await expectError(() => first(['a', []]), 'bad_request', { field: 'input[1]' });
  await expectError(() => first([[273]]), 'bad_request', { field: 'input[0]' });
  await expectError(() => first(['a', 'b', randomTokens(321, 270)]), 'context_overflow', { field: 'input[2]' });
  await expectError(() => engine.embed(['a'], { adapters: [{ name: 'x', scale: 1 }] }).next(), 'bad_request', {
    field: 'adapter',
  });
  await expectError(() => first(['a', 'b '.repeat(100_000)]), 'context_overflow', {
    field: 'input[1]',
    reason: /200000 characters/,
  });
  await expectError(() => engine.embed(['a'], { signal: AbortSignal.abort() }).next(), 'aborted', {});
});

// Layers that keep pages, states, the inputs of convolutions, or the pages of a window.
it.each(['qwen35', 'lfm2', 'gemma3'] as const)(
  'aborted embeddings leave nothing in the cache, and an answer beside them stays as it is: %s',
  async (architecture) => {
    const bytes = tinyModel({
      architecture,
      type: 'F32',
      seed: 92,
      contextLength: 320,
      numLayers: 6,
      hiddenSize: 64,
      intermediateSize: 96,
      tied: false,
      neverEnds: true,
    });
    const engine = await engineUnderTest(bytes);
    const { transformer } = await engine.session();
    const { cache } = transformer;
    const chat = (): Promise<string> =>
      answer(engine.chat([USER('Hi')], { maxTokens: 24, sampling: GREEDY, stop: [], recomputePrompt: true })).then(
        ({ text }) => text,
      );
    const alone = await chat();
    const [pages, states] = [cache.freePages, cache.recurrentStates?.room];
    const [plain] = await embeddings(engine, [INPUTS[2] as number[]]);
    const controller = new AbortController();
    const aborted = engine.embed([INPUTS[1] as number[], INPUTS[2] as number[], INPUTS[2] as number[]], {
      signal: controller.signal,
    });
    const beside = chat();
    await aborted.next();
    const next = aborted.next();
    controller.abort();
    await expectError(() => next, 'aborted', {});
    expect(await beside).toBe(alone);
    expect([cache.freePages, cache.recurrentStates?.room]).toEqual([pages, states]);
    const [again] = await embeddings(engine, [INPUTS[2] as number[]]);
    expect(again).toEqual(plain);
  },
);
