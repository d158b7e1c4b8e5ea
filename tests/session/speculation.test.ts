import { describe, expect, test } from 'vitest';
import { prefillAndSample } from '../../src/measure/steps.ts';
import { type SampledToken, greedy } from '../../src/session/sampling/sampler.ts';
import { Sequence } from '../../src/session/sequence.ts';
import type { Session } from '../../src/session/session.ts';
import { ModelDrafts } from '../../src/session/speculation/model-drafts.ts';
import { Speculation } from '../../src/session/speculation/speculation.ts';
import { StepCosts } from '../../src/session/speculation/step-costs.ts';
import { TextDrafts } from '../../src/session/speculation/text-drafts.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { restOnly } from '../support/tier.ts';

const SOFTWARE = { variant: { lanes: 1 } } as ConstructorParameters<typeof StepCosts>[0];

/** Greedy answer of a session to `text`, without the prefix cache. */
async function answered(session: Session, text: readonly number[], count: number): Promise<number[]> {
  const sequence = new Sequence(undefined, 1);
  const tokens = [(await prefillAndSample(session, sequence, text)).token];
  while (tokens.length < count) {
    const asked = session.batches.decode([greedy(sequence, text.length + tokens.length)]);
    sequence.tokens.push(tokens.at(-1)!);
    tokens.push(((await asked)[0] as SampledToken).token);
  }
  session.release(sequence);
  return tokens;
}

describe('drafts', () => {
  const draftsOf = (text: readonly number[]): TextDrafts => {
    const drafts = new TextDrafts();
    for (const token of text) drafts.push(token);
    return drafts;
  };

  test('are the tokens that followed an earlier occurrence of the last tokens', () => {
    const drafts = draftsOf([5, 1, 2, 3, 4, 6, 7, 1, 2]);
    expect(drafts.next(3)).toEqual([3, 4, 6]);
    expect(drafts.matched).toBe(2);
    drafts.push(3);
    expect(drafts.next(2)).toEqual([4, 6]);
    expect(drafts.matched).toBe(3);
  });

  test('prefer the longer match, then the later one', () => {
    expect(draftsOf([1, 2, 3, 40, 9, 2, 3, 50, 1, 2, 3]).next(1)).toEqual([40]);
    expect(draftsOf([2, 3, 40, 9, 2, 3, 50, 8, 2, 3]).next(1)).toEqual([50]);
  });

  test('are empty without an earlier occurrence', () => {
    const drafts = draftsOf([1, 2, 3, 4]);
    expect([drafts.next(4), drafts.matched, drafts.expected]).toEqual([[], 0, undefined]);
    expect(new TextDrafts().next(4)).toEqual([]);
  });

  test('resume after a changed, omitted or inserted word', () => {
    const copied = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 20, 1, 2, 3];
    expect(draftsOf([...copied, 99, 5]).next(2)).toEqual([6, 7]);
    expect(draftsOf([...copied, 6]).next(2)).toEqual([7, 8]);
    expect(draftsOf([...copied, 99, 98, 4]).next(2)).toEqual([5, 6]);
  });
});

describe('the number of verified tokens', () => {
  const copied = Array.from({ length: 40 }, (_, i) => i);
  const costsOf = (of: Partial<Record<2 | 4 | 8, number>>): StepCosts => {
    const costs = new StepCosts(SOFTWARE, () => 10);
    for (const size of [2, 4, 8] as const) for (let i = 0; i < 10; i++) costs.timed(size, 10 * (of[size] ?? 100));
    return costs;
  };
  const after = (costs: StepCosts, more: readonly number[]): Speculation => {
    const speculation = new Speculation(costs, copied);
    for (const token of more) speculation.push(token);
    return speculation;
  };

  test('follows the acceptance so far and the step costs', async () => {
    const sure = copied.slice(0, 20);
    expect(await after(costsOf({ 8: 2 }), sure).draft(7)).toEqual([20, 21, 22, 23, 24, 25, 26]);
    expect(await after(costsOf({ 8: 2 }), sure).draft(3)).toEqual([20, 21, 22]);
    expect(await after(costsOf({ 4: 1.5, 8: 4 }), sure).draft(7)).toEqual([20, 21, 22]);
    expect(await after(costsOf({ 8: 8 }), sure).draft(7)).toEqual([]);
    expect(await after(costsOf({ 8: 2 }), copied.slice(0, 2)).draft(7)).toEqual([]);
  });

  test('falls to none when drafts are rejected', async () => {
    const wrong = Array.from({ length: 30 }, (_, i) => [(2 * i) % 30, ((2 * i) % 30) + 1, 1000 + i]).flat();
    const costs = costsOf({ 2: 1.5, 4: 2, 8: 3 });
    const speculation = after(costs, wrong);
    speculation.push(4);
    speculation.push(5);
    expect(await speculation.draft(7)).toEqual([]);
    expect(speculation.isLikely).toBe(false);
  });

  test('a draft model runs if it saves more time than copies of the text, and reads nothing if it saves none', async () => {
    const costs = costsOf({ 2: 1.1, 4: 1.2, 8: 1.5 });
    const asked: number[] = [];
    const speculating = (text: readonly number[], { isReady = true, chance = 0.9, cost = 0.1 }) => {
      const model = { isReady, chance, begun: 0, begin: () => model.begun++, push: () => undefined };
      const next = (most: number): Promise<number[]> =>
        Promise.resolve(Array.from({ length: asked[asked.push(most) - 1] ?? 0 }, () => 7));
      return {
        model,
        speculation: new Speculation(
          costs,
          text,
          { ...model, begin: model.begin, next } as unknown as ModelDrafts,
          cost,
        ),
      };
    };
    const fresh = speculating([1, 2, 3], {});
    expect([fresh.model.begun, fresh.speculation.isLikely]).toEqual([1, true]);
    // 1 + 0.9 + … + 0.9⁷ of 8 tokens for 1.5 + 0.7 steps.
    expect(await fresh.speculation.draft(7)).toHaveLength(7);
    expect(await fresh.speculation.draft(2)).toHaveLength(2);
    expect(await speculating([1, 2, 3], { chance: 0.5 }).speculation.draft(7)).toHaveLength(3);
    const unready = speculating([1, 2, 3], { isReady: false });
    expect([await unready.speculation.draft(7), unready.speculation.isLikely]).toEqual([[], false]);
    // A drafted token takes as long as a step; timed costs replace the assumed one.
    const dear = speculating([1, 2, 3], { cost: 1 });
    expect([dear.model.begun, await dear.speculation.draft(7), dear.speculation.isLikely]).toEqual([0, [], false]);
    expect(asked).toEqual([7, 2, 3]);
    for (let i = 0; i < 10; i++) costs.drafted(4, 4);
    expect(costs.ofDrafted(1)).toBeCloseTo(0.1);
    expect(speculating([1, 2, 3], { cost: 1 }).model.begun).toBe(1);
    // Copies cost no drafting.
    const copying = speculating([...copied, ...copied.slice(0, 20)], { chance: 0.8 }).speculation;
    expect(await copying.draft(7)).toEqual(copied.slice(20, 27));
    expect(await speculating([...copied, 0, 1], { chance: 0.95 }).speculation.draft(7)).toEqual(
      Array.from({ length: 7 }, () => 7),
    );
  });

  test('costs are medians of timed steps, unaffected by a single slow step', () => {
    const costs = new StepCosts(SOFTWARE, () => 10);
    const assumed = costs.of(8);
    costs.timed(8, 5000); // compiled
    expect(costs.of(8)).toBe(assumed);
    for (const ms of [20, 20, 5000, 20, 20]) costs.timed(7, ms);
    expect(costs.of(8)).toBe(2);
    expect(new StepCosts(SOFTWARE, () => undefined).of(2)).toBeGreaterThan(1);
  });
});

restOnly(() => {
  describe('a step that verifies', () => {
    const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 12, contextLength: 256, neverEnds: true });
    const PROMPT = Array.from({ length: 61 }, (_, i) => (i * 7 + 3) % 250);

    async function prefilled(session: Session, slot: number): Promise<{ sequence: Sequence; first: number }> {
      const sequence = new Sequence(undefined, slot);
      const { token } = await prefillAndSample(session, sequence, PROMPT);
      return { sequence, first: token };
    }

    // Past the end of a page, in decode and in prefill form.
    test.each([
      ['cpu', 1],
      ['cpu', 2],
      ['cpu', 3],
      ['cpu', 7],
      ['gpu', 7],
    ] as const)(
      'keeps, on class %s, the accepted ones of %d tokens, and nothing attends to the others',
      async (deviceClass, length) => {
        const session = await (await engineUnderTest(bytes, { deviceClass })).session();
        const expected = await answered(session, PROMPT, 30);
        const { sequence, first } = await prefilled(session, 1);
        const tokens = [first];
        for (let right = 0; tokens.length < 20; right = (right + 1) % (length + 1)) {
          const draft = Array.from({ length }, (_, i) => {
            const token = expected[tokens.length + i]!;
            return i < right ? token : (token + 1 + i) % 250;
          });
          const asked = session.verify(greedy(sequence, PROMPT.length + tokens.length), {
            tokens: draft,
            rows: undefined,
            text: { prompt: PROMPT, answer: tokens },
          });
          const kept = await asked;
          expect(kept.map(({ token }) => token)).toEqual(expected.slice(tokens.length, tokens.length + right + 1));
          sequence.tokens.push(tokens.at(-1)!, ...kept.slice(0, -1).map(({ token }) => token));
          tokens.push(...kept.map(({ token }) => token));
        }
        // A plain step continues after the last accepted token.
        const [next] = (await session.batches.decode([
          greedy(sequence, PROMPT.length + tokens.length),
        ])) as SampledToken[];
        expect(next?.token).toBe(expected[tokens.length]);
        session.release(sequence);
      },
    );
  });
});

restOnly(() => {
  describe('a draft model', () => {
    const TEXT = 'Nothing of this stands here twice: a fox, seven jugs, or quartz';

    // Models with convolutions, with sliding windows and per-layer inputs, and with recurrent states.
    test.each([
      ['lfm2', { numLayers: 3 }],
      ['gemma4', { numLayers: 6 }],
      ['qwen35', { numLayers: 4, rotaryDim: 16 }],
    ] as const)('of %s drafts its own greedy answer, wherever the text went', async (architecture, sizes) => {
      const engine = await engineUnderTest(
        tinyModel({ architecture, ...sizes, type: 'F32', seed: 6, contextLength: 512, neverEnds: true }),
      );
      const session = await engine.session();
      const text = engine.tokenizer.encode(TEXT);
      const drafts = new ModelDrafts(text, {
        draftModel: session,
        slot: 0,
        vocabSize: session.plan.config.vocabSize,
        costs: session.stepCosts,
      });
      drafts.begin();
      await drafts.settled();
      // The text continues with none, some or all of the drafted tokens, and with tokens that were not drafted.
      for (const [count, right, others] of [
        [3, 3, 1],
        [7, 0, 1],
        [7, 5, 1],
        [1, 1, 0],
        [3, 1, 40],
        [7, 7, 1],
      ] as const) {
        const drafted = await drafts.next(count);
        expect(drafted).toEqual(await answered(session, text, count));
        const more = [
          ...drafted.slice(0, right),
          ...Array.from({ length: others }, (_, i) => ((drafted[right] ?? 0) + 1 + 7 * i) % 250),
        ];
        for (const token of more) drafts.push(token);
        text.push(...more);
      }
      await drafts.close();
      // After the prompt, at the last token of the previous read, and at the last token of this one.
      const { states } = session.sequences.idle.at(-1)!;
      expect(states.length).toBeLessThanOrEqual(3);
      expect(states.length > 0).toBe(architecture === 'qwen35');
    });
  });
});
