import { beforeAll, describe, expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { Random } from '../support/random.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer, USER } from '../support/answer.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { NMSE } from '../support/tolerances.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 31 });
/** Five pages and part of a sixth; two batches and part of a third. */
const tokens = randomTokens(165, 270, 7);

describe('prefill of the same tokens in other batches gives the same logits', () => {
  let atOnce: Float32Array[];
  beforeAll(async () => {
    const engine = await engineUnderTest(bytes);
    atOnce = await logitsOf(engine, tokens);
    engine.dispose();
  });

  const random = new Random(8);
  const cuts: [string, number[]][] = [
    ['1, then the rest', [1]],
    ['31, 32, 33, then the rest', [31, 32, 33]],
    ['33, 31, 1, 32, then the rest', [33, 31, 1, 32]],
    ['random pieces', Array.from({ length: 12 }, () => 1 + random.below(24))],
    ['more random pieces', Array.from({ length: 40 }, () => 1 + random.below(5))],
    ['token by token', tokens.map(() => 1)],
  ];
  test.each(cuts)('%s', async (_, pieces) => {
    const difference = nmse(await logitsOf(await engineUnderTest(bytes), tokens, { pieces }), atOnce);
    expect(difference).toBeLessThan(NMSE.sameModel);
  });
});

describe('a second turn', () => {
  test('has the same logits with the cached prefix as without', async () => {
    const engine = await engineUnderTest(bytes);
    const session = await engine.session();
    const { vocabSize } = session.plan.config;
    const first = session.sequences.take(tokens.slice(0, 100));
    await session.prefill(first, tokens.slice(0, 100), () => session.recorder.submit());
    session.sequences.giveBack(first);
    // The second turn diverges from the first within a page, at its end, and one token after.
    for (const shared of [77, 96, 97]) {
      const prompt = [...tokens.slice(0, shared), ...tokens.slice(120)];
      const sequence = session.sequences.take(prompt);
      expect(sequence.tokens).toEqual(prompt.slice(0, shared));
      const rows: Float32Array[] = [];
      await session.prefill(sequence, prompt.slice(shared), async (_, length) => {
        const logits = await session.logits(0, length);
        for (let t = 0; t < length; t++) rows.push(logits.slice(t * vocabSize, (t + 1) * vocabSize));
      });
      session.sequences.giveBack(sequence);
      const fresh = await logitsOf(await engineUnderTest(bytes), prompt);
      const difference = nmse(rows, fresh.slice(shared));
      expect(difference).toBeLessThan(NMSE.sameModel);
      // The next round starts with the first turn again.
      const again = session.sequences.take(tokens.slice(0, 100));
      await session.prefill(again, tokens.slice(again.tokens.length, 100), () => session.recorder.submit());
      session.sequences.giveBack(again);
    }
  });

  test('answers the same text, and reports the cached tokens', async () => {
    const engine = await engineUnderTest(bytes, { contextLength: 400 });
    const options = { sampling: GREEDY, stop: [], maxTokens: 24 };
    const opening = [USER('Tell me of the seven winds, and of the sea.')];
    const first = await answer(engine.chat(opening, options));
    expect(first.end.usage.cachedTokens).toBe(0);
    // The same tokens, independent of their text: the prompt is its own prefix.
    const repeated = await answer(engine.chat(opening, options));
    expect(repeated.text).toBe(first.text);
    expect(repeated.end.usage.cachedTokens).toBe(first.end.usage.promptTokens - 1);

    const turns = [...opening, { role: 'assistant' as const, content: 'They blow.' }, USER('And the eighth?')];
    const second = await answer(engine.chat(turns, options));
    const fresh = await answer((await engineUnderTest(bytes, { contextLength: 400 })).chat(turns, options));
    expect(second.tokens).toEqual(fresh.tokens);
    expect(fresh.end.usage.cachedTokens).toBe(0);
    expect(second.end.usage.cachedTokens).toBeGreaterThanOrEqual(first.end.usage.promptTokens);
    expect(second.end.usage.promptTokens).toBe(fresh.end.usage.promptTokens);
  });
});
