import { describe, expect, test } from 'vitest';
import { type CachePolicy, type KvOptions, pagesBeyondContext } from '../../src/cache/policy.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { eachLogits } from '../../cli/measure/evaluate.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';
import type { ChatTurn } from '../../src/tokenizer/chat-template.ts';
import { expectError } from '../support/expect-error.ts';
import { tinyModel } from '../support/models/tiny-model.ts';
import { answer, USER } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { nmse } from '../support/nmse.ts';
import { randomTokens } from '../support/random-tokens.ts';
import { NMSE } from '../support/tolerances.ts';
import { byTier, restOnly } from '../support/tier.ts';

const CONTEXT = 256;
const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 52, contextLength: CONTEXT, neverEnds: true });
/** The same model with room for the whole text. */
const roomy = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 52, contextLength: 1024, neverEnds: true });
const SHIFTING: CachePolicy = { key: 'shifting', drops: pagesBeyondContext };

async function lastLogits(engine: LocalEngine, tokens: readonly number[], policy?: CachePolicy): Promise<Float32Array> {
  let last = new Float32Array();
  const visit = (_: number, length: number, logits: Float32Array): void =>
    void (last = logits.slice(logits.length - logits.length / length));
  await engine.alone((session) => eachLogits(session, tokens, visit, { policy }));
  return last;
}

const options = (kv: KvOptions, maxTokens?: number) => ({
  ...kv,
  sampling: GREEDY,
  stop: [],
  ...(maxTokens !== undefined && { maxTokens }),
});
const total = (counts: Record<string, number>): number => Object.values(counts).reduce((sum, each) => sum + each, 0);
const PROSE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';

test('eviction equals a text without the evicted tokens, where keys and values do not depend on earlier tokens', async () => {
  // A single layer: deeper ones have seen evicted tokens.
  const single = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 53, contextLength: CONTEXT, numLayers: 1 });
  const engine = await engineUnderTest(single);
  const { batchTokens } = (await engine.session()).transformer;
  const tokens = randomTokens(CONTEXT + 100, 270, 9);
  const given = Math.ceil(100 / PAGE_TOKENS) * PAGE_TOKENS;
  const without = [...tokens.slice(0, PAGE_TOKENS), ...tokens.slice(PAGE_TOKENS + given)];
  const shifted = await lastLogits(engine, tokens, SHIFTING);
  // A text that may shift is computed in batches of a quarter of the context; otherwise nothing would be evicted
  // after the first batch.
  expect(tokens.length).toBeGreaterThan(Math.min(batchTokens, CONTEXT / 4));
  expect(nmse([shifted], [await lastLogits(engine, without)])).toBeLessThan(NMSE.sameModel);
  // It matters which token is evicted.
  expect(nmse([shifted], [await lastLogits(engine, tokens.slice(given))])).toBeGreaterThan(1e-3);
});

describe('an answer', () => {
  test.each(byTier([63], [33, 63, 97]))(
    'in a context of %i tokens, too short for eviction, ends as without a policy',
    async (contextLength) => {
      const engine = await engineUnderTest(bytes, { contextLength });
      const ask = (prompt: string, kv: KvOptions) => answer(engine.complete(prompt, options(kv)));
      const { tokens, end } = await ask('Hi', { kv: 'policy' });
      expect(end.finishReason).toBe('length');
      expect(tokens).toHaveLength((await ask('Hi', {})).tokens.length);
      await expectError(() => ask(PROSE.repeat(9), { kv: 'policy' }), 'context_overflow', { field: 'prompt' });
    },
  );

  test('exceeds the context with a policy, in the same memory', async () => {
    const engine = await engineUnderTest(bytes);
    const [contexts = 3] = byTier([2], [3]);
    const sizes: number[] = [];
    let events = 0;
    for await (const event of engine.complete(PROSE, options({ kv: 'policy' }, contexts * CONTEXT))) {
      if (event.type === 'token') {
        events++;
        expect(event.contextUsed).toBeLessThanOrEqual(CONTEXT);
        if (events > CONTEXT) sizes.push(engine.memory().kv);
        continue;
      }
      expect(event.finishReason).toBe('length');
      const { droppedTokens } = event.report.kv;
      expect(droppedTokens).toBeGreaterThan((contexts - 1) * CONTEXT - PAGE_TOKENS);
      expect(droppedTokens % PAGE_TOKENS).toBe(0);
      expect(event.report.kv.memoryOverrode).toBe(false);
    }
    expect(events).toBe(contexts * CONTEXT);
    expect(Math.max(...sizes) / Math.min(...sizes)).toBeLessThan(1.3);
  });

  test('ends with the context without a policy', async () => {
    const engine = await engineUnderTest(bytes);
    const { tokens, end } = await answer(engine.complete(PROSE, options({})));
    expect(end.finishReason).toBe('length');
    expect(end.usage.promptTokens + tokens.length).toBe(CONTEXT);
    expect(end.report.kv.droppedTokens).toBe(0);
  });

  test('to a prompt longer than the context needs a policy; without one there is an error before anything runs', async () => {
    const engine = await engineUnderTest(bytes);
    const prompt = PROSE.repeat(12);
    await expectError(() => answer(engine.complete(prompt, options({}))), 'context_overflow', { field: 'prompt' });
    const { tokens, end } = await answer(engine.complete(prompt, options({ kv: 'policy' }, 8)));
    expect(end.usage.promptTokens).toBeGreaterThan(2 * CONTEXT);
    expect(tokens).toHaveLength(8);
  });

  test('to a prompt longer than the context shrinks pages as the context shifts, though their number is constant', async () => {
    const engine = await engineUnderTest(bytes);
    const { kv } = (await answer(engine.complete(PROSE.repeat(12), options({ kv: 'policy', kvErrorBudget: 16 }, 1))))
      .end.report;
    expect(kv.droppedTokens).toBeGreaterThan(CONTEXT);
    expect(kv.pages.f16).toBeLessThan(0.7 * total(kv.pages));
  });

  test('is at most as long as the context by default', async () => {
    const { tokens } = await answer((await engineUnderTest(bytes)).complete(PROSE, options({ kv: 'policy' })));
    expect(tokens).toHaveLength(CONTEXT);
  });

  test('reuses a sequence with evicted tokens whole, or else its kept pages of the prefix', async () => {
    const engine = await engineUnderTest(bytes);
    const kv: KvOptions = { kv: 'policy' };
    const prompt = PROSE.repeat(12);
    const first = await answer(engine.complete(prompt, options(kv, 8)));
    const { promptTokens } = first.end.usage;
    const again = await answer(engine.complete(prompt + first.text, options(kv, 8)));
    expect(again.end.usage.cachedTokens).toBeGreaterThan(promptTokens - 2 * PAGE_TOKENS);
    // Only the first page of the common prefix is kept.
    const other = await answer(engine.complete(`${PROSE.repeat(2)}But not today.`, options(kv, 8)));
    expect(other.end.usage.cachedTokens).toBe(PAGE_TOKENS);
    expect(other.end.report.kv.droppedTokens).toBe(0);
    const anew = await answer(
      (await engineUnderTest(bytes)).complete(`${PROSE.repeat(2)}But not today.`, options(kv, 8)),
    );
    expect(other.tokens).toEqual(anew.tokens);
  });
});

describe('a memory budget', () => {
  const prompt = PROSE.repeat(3);

  async function ask(kv: KvOptions, maxTokens = 150) {
    return (await answer((await engineUnderTest(roomy)).complete(prompt, options(kv, maxTokens)))).end.report.kv;
  }

  test('that is large enough changes nothing', async () => {
    const dense = await ask({});
    expect(await ask({ kv: 'policy', kvMemoryBudget: dense.peakBytes })).toEqual(dense);
  });

  restOnly(() =>
    test('with priority is met, first by quantization, then by evicting entries; the report says so', async () => {
      const { peakBytes } = await ask({});
      for (const share of [0.7, 0.32]) {
        const budget = Math.round(share * peakBytes);
        const report = await ask({ kv: 'policy', kvMemoryBudget: budget });
        expect(report.peakBytes).toBeLessThanOrEqual(budget);
        expect(report.peakBytes).toBeGreaterThan(0.7 * budget);
        expect(report.memoryOverrode).toBe(true);
        expect(share < 0.5 ? report.pages.sparse : report.pages.q4).toBeGreaterThan(0);
        expect(report.mergedTokens > 0).toBe(share < 0.5);
        expect(report.droppedTokens).toBe(0);
      }
    }),
  );

  restOnly(() => {
    test('without priority leaves the error budget in force', async () => {
      const report = await ask({ kv: 'policy', kvMemoryBudget: 1000, kvErrorBudget: 0, kvPriority: 'error' });
      expect(report.memoryOverrode).toBe(false);
      expect(total(report.bytes)).toBe(report.bytes.f16);
      expect(report.droppedTokens).toBe(0);
    });
  });
});

restOnly(() => {
  test('a chat of many turns keeps its memory budget and the system prompt', async () => {
    const engine = await engineUnderTest(roomy);
    const system: ChatTurn = {
      role: 'system',
      content: 'Call yourself Ada, and say nothing of the sea or of its caves.',
    };
    const turns: ChatTurn[] = [system];
    const BUDGET = 250_000;
    const kv: KvOptions = { kv: 'policy', kvMemoryBudget: BUDGET };
    const kept = engine.tokenizer.encode(system.content, { addSpecial: false });
    const memory: number[] = [];
    for (let turn = 0; turn < 40; turn++) {
      turns.push(USER(`Question ${turn}: what does the wind say?`));
      const { text, end } = await answer(engine.chat(turns, options(kv, 8)));
      turns.push({ role: 'assistant', content: text });
      memory.push(engine.memory().total);
      expect(end.report.kv.peakBytes).toBeLessThanOrEqual(BUDGET);
      // Computes only the new turn, and at most a page.
      if (turn > 0) expect(end.usage.promptTokens - end.usage.cachedTokens).toBeLessThan(120);
      if (turn > 25) expect(end.report.kv.mergedTokens).toBeGreaterThan(0);
    }
    expect(Math.max(...memory.slice(20))).toBeLessThan(1.02 * Math.max(...memory.slice(0, 20)));
    const [sequence] = (await engine.session()).sequences.idle;
    const first = sequence?.tokens.slice(0, (sequence?.keptPages ?? 0) * PAGE_TOKENS) ?? [];
    expect(engine.tokenizer.decode(first)).toContain(engine.tokenizer.decode(kept));
  });
});

test('a context too small for eviction refuses texts that do not fit, and answers those that do', async () => {
  const small = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 52, contextLength: 40, neverEnds: true });
  const engine = await engineUnderTest(small);
  await expectError(() => answer(engine.complete(PROSE.repeat(3), options({ kv: 'policy' }, 8))), 'context_overflow', {
    field: 'prompt',
  });
  expect((await answer(engine.complete('Seven winds.', options({ kv: 'policy' }, 8)))).tokens).toHaveLength(8);
});
