import { expect, it } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateEvent, GenerateOptions } from '../../src/engine/types.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';

const MODEL = tinyModel({ architecture: 'llama', type: 'F32', seed: 31, contextLength: 512 });
/** Two pages and some tokens. */
const PROMPT = 'Whatever stands here is read once. '.repeat(3);

const ask = (engine: LocalEngine, seed: number, rest: Partial<GenerateOptions> = {}) =>
  engine.complete(PROMPT, {
    sampling: { ...GREEDY, temperature: 1, seed, logitBias: new Map([0, 2].map((id) => [id, -1000])) },
    stop: [],
    maxTokens: 12,
    ...rest,
  });

/** Answers to one prompt; the others start when the first has given its first token. */
async function answersBeside(engine: LocalEngine, seeds: readonly number[], rest: Partial<GenerateOptions> = {}) {
  const [first = 0, ...others] = seeds;
  let further: Promise<Awaited<ReturnType<typeof answer>>[]> | undefined;
  async function* watched(): AsyncGenerator<GenerateEvent, void> {
    for await (const event of ask(engine, first, rest)) {
      further ??= Promise.all(others.map((seed) => answer(ask(engine, seed, { ...rest, isFurther: true }))));
      yield event;
    }
  }
  const begun = await answer(watched());
  return [begun, ...((await further) ?? [])];
}

it('read the prompt once, except for its last token, and equal each answer alone', async () => {
  const engine = await engineUnderTest(MODEL);
  const length = engine.tokenizer.encode(PROMPT).length;
  const answers = await answersBeside(engine, [1, 2, 3]);
  expect(answers.map(({ end }) => end.usage.cachedTokens)).toEqual([0, length - 1, length - 1]);
  for (const [i, seed] of [1, 2, 3].entries()) {
    const alone = await engineUnderTest(MODEL);
    expect(answers[i]?.tokens).toEqual((await answer(ask(alone, seed))).tokens);
  }
});

it('share the prompt with adapters too, and their copies continue independently', async () => {
  const engine = await engineUnderTest(MODEL);
  const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', MODEL)]));
  await engine.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 5, gain: 2 })));
  const adapted = { adapters: [{ name: 'a', scale: 1 }] };
  const answers = await answersBeside(engine, [4, 5], adapted);
  expect(answers[1]?.end.usage.cachedTokens).toBe(engine.tokenizer.encode(PROMPT).length - 1);
  const alone = await engineUnderTest(MODEL);
  await alone.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 5, gain: 2 })));
  for (const [i, seed] of [4, 5].entries())
    expect(answers[i]?.tokens).toEqual((await answer(ask(alone, seed, adapted))).tokens);
});

it("wait for their turn, and the queue's limit does not count them", async () => {
  const engine = await engineUnderTest(MODEL, { queueLimit: 0 });
  const whole = { maxTokens: 400 }; // each may need most of the cache: one at a time
  const answers = await answersBeside(engine, [1, 2, 3, 4], { ...whole, stop: ['e'] });
  expect(answers).toHaveLength(4);
  const busy = ask(engine, 1, whole);
  await busy.next();
  await expect(answer(ask(engine, 2, whole))).rejects.toMatchObject({ code: 'queue_full' });
  await busy.return();
});
