import { describe, expect, test } from 'vitest';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { expectError } from '../support/expect-error.ts';
import type { Answer } from '../support/answer.ts';
import { fixedMemory } from '../support/fixed-memory.ts';
import { engineUnderTest, logitsOf } from '../support/engine-under-test.ts';
import { normalizedEntropy } from '../support/kernels/normalized-entropy.ts';
import {
  ask,
  bytes,
  eachAlone,
  ENDLESS,
  type Request,
  REQUESTS,
  start,
  tokensOf,
} from '../support/requests-side-by-side.ts';

/** Dispatches of all decode steps. */
const stepDispatches = (answers: readonly Answer[]): number =>
  answers.reduce((sum, { tokens, end }) => sum + (tokens.length - 1) * end.report.dispatchesPerToken, 0);

/** Expects that all slots are free, and all pages except those of cached sequences. */
async function expectAllFree(engine: LocalEngine): Promise<void> {
  await engine.alone(async ({ sequences, transformer: { cache } }) => {
    const whole = sequences.take([0]);
    sequences.reserve(whole, engine.contextLength);
    expect(cache.freePages).toBe(0);
    whole.tokens.length = 0;
    sequences.giveBack(whole);
    expect(cache.freePages).toBe(cache.numPages);
  });
}

describe('sequences that share decode steps', () => {
  test('four of them answer as each alone, in fewer dispatches', async () => {
    const engine = await engineUnderTest(bytes);
    const alone = await eachAlone(engine, REQUESTS);
    const other = await engineUnderTest(bytes);
    const memory = other.memory();
    const together = await Promise.all(REQUESTS.map((request) => ask(other, request)));
    expect(tokensOf(together)).toEqual(tokensOf(alone));
    expect(together.map(({ tokens }) => tokens.length)).toEqual(REQUESTS.map(({ maxTokens }) => maxTokens));
    expect(stepDispatches(together)).toBeLessThan(0.9 * stepDispatches(alone));
    expect(fixedMemory(other.memory())).toEqual(fixedMemory(memory));
    await expectAllFree(other);
  });

  test('one is aborted and one joins late: the others are unaffected', async () => {
    const [first, second, third] = REQUESTS as [Request, Request, Request];
    const alone = await eachAlone(await engineUnderTest(bytes), [first, third]);
    const engine = await engineUnderTest(bytes);
    const controller = new AbortController();
    const late: Promise<Answer>[] = [];
    const aborted = async (): Promise<void> => {
      let tokens = 0;
      for await (const event of start(engine, second, controller.signal)) {
        if (event.type !== 'token' || ++tokens < 5) continue;
        controller.abort();
        late.push(ask(engine, third));
      }
    };
    const [staying] = await Promise.all([ask(engine, first), expectError(aborted, 'aborted', { reason: /aborted/ })]);
    expect(tokensOf([staying, ...(await Promise.all(late))])).toEqual(tokensOf(alone));
    await expectAllFree(engine);
  });

  test('the entropy of each token comes from its own logits, if requested', async () => {
    const engine = await engineUnderTest(bytes);
    const answers = await Promise.all(
      REQUESTS.map(async ({ prompt, maxTokens, sampling }, i) => {
        const options = { sampling: { ...ENDLESS, ...sampling }, stop: [], maxTokens, wantsEntropy: i !== 1 };
        const tokens: number[] = [];
        const entropies: (number | undefined)[] = [];
        for await (const event of engine.complete(prompt, options)) {
          if (event.type !== 'token') continue;
          tokens.push(event.token);
          entropies.push(event.entropy);
        }
        return { tokens: [...engine.tokenizer.encode(prompt), ...tokens], entropies };
      }),
    );
    for (const [i, { tokens, entropies }] of answers.entries()) {
      const rows = (await logitsOf(engine, tokens)).slice(-entropies.length - 1, -1);
      entropies.forEach((entropy, t) => {
        if (i === 1) expect(entropy).toBeUndefined();
        else expect(Math.abs((entropy ?? NaN) - normalizedEntropy(rows[t] ?? []))).toBeLessThan(1e-4);
      });
    }
  });

  test('each has adapters of its own', async () => {
    const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
    const engine = await engineUnderTest(bytes);
    for (const [name, seed] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      await engine.loadAdapter(name, peftSource(tinyAdapter(config, { seed, rank: 4 })));
    }
    const mixes = [
      [],
      [{ name: 'a', scale: 1 }],
      [{ name: 'b', scale: 1 }],
      [
        { name: 'a', scale: 0.5 },
        { name: 'b', scale: -1 },
      ],
    ];
    const requests = mixes.map((adapters) => ({ prompt: 'The same wind', maxTokens: 20, adapters }));
    const alone = await eachAlone(engine, requests);
    expect(new Set(tokensOf(alone).map(String)).size).toBe(4);
    const together = await Promise.all(requests.map((request) => ask(engine, request)));
    expect(tokensOf(together)).toEqual(tokensOf(alone));
  });
});

describe('admission', () => {
  const LONG: Request = { prompt: 'How long is a long answer?', maxTokens: 300 };

  test('a request waits until all pages that it may need are free, and no answer runs out of pages', async () => {
    const engine = await engineUnderTest(bytes, { contextLength: 512 });
    const [alone] = await eachAlone(await engineUnderTest(bytes), [LONG]);
    const ended: string[] = [];
    const noted = async (name: string, request: Request): Promise<Answer> => {
      const answered = await ask(engine, request);
      ended.push(name);
      return answered;
    };
    const short = REQUESTS[2] as Request;
    const all = await Promise.all([
      noted('long', LONG),
      noted('second long', LONG),
      noted('short', short), // it would fit beside the first, but the second comes first
      noted('third long', LONG),
    ]);
    expect(ended).toEqual(['long', 'short', 'second long', 'third long']);
    for (const i of [0, 1, 3]) expect(all[i]?.tokens).toEqual(alone?.tokens);
    await expectAllFree(engine);
  });

  test('more requests than slots: the rest start as others end', async () => {
    const engine = await engineUnderTest(bytes);
    const requests = Array.from({ length: 10 }, (_, i) => ({ prompt: `Wind ${i}`, maxTokens: 5 + ((7 * i) % 11) }));
    const alone = await eachAlone(await engineUnderTest(bytes), requests);
    const memory = engine.memory();
    expect(tokensOf(await Promise.all(requests.map((request) => ask(engine, request))))).toEqual(tokensOf(alone));
    expect(fixedMemory(engine.memory())).toEqual(fixedMemory(memory));
    await expectAllFree(engine);
  });

  test('exclusive work runs beside no request', async () => {
    const engine = await engineUnderTest(bytes);
    const order: string[] = [];
    const note = async (name: string, work: Promise<unknown>): Promise<void> => {
      await work;
      order.push(name);
    };
    const [first, second] = REQUESTS as [Request, Request];
    await Promise.all([
      note('before', ask(engine, first)),
      note(
        'alone',
        engine.alone(() => new Promise((resolve) => setTimeout(resolve, 50))),
      ),
      note('after', ask(engine, { ...second, maxTokens: 1 })),
    ]);
    expect(order).toEqual(['before', 'alone', 'after']);
    await expect(engine.alone(() => Promise.reject(new Error('it failed')))).rejects.toThrow('it failed');
    await expectAllFree(engine);
  });
});
