import { describe, expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { StepsAhead, MOST_AHEAD } from '../../src/gpu/submissions.ts';
import { answer } from '../support/answer.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { expectError } from '../support/expect-error.ts';
import { derived } from '../support/gpu/derived.ts';
import { derivedGpu } from '../support/gpu/derived-gpu.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

const bytes = tinyModel({
  architecture: 'llama',
  type: 'Q4_0',
  seed: 61,
  numLayers: 2,
  contextLength: 256,
  neverEnds: true,
});
const DELAY_MS = 100;

/**
 * The software adapter with results delayed by DELAY_MS; `most`: maximum of results in flight. `onSubmit` runs at
 * every submission.
 */
function farGpu(onSubmit: () => void = () => undefined): { gpu: GPU; travelling: { now: number; most: number } } {
  const travelling = { now: 0, most: 0 };
  const gpu = derivedGpu((device) => ({
    queue: derived(device.queue, {
      submit: (buffers) => {
        onSubmit();
        device.queue.submit(buffers);
      },
    }),
    createBuffer: (descriptor) => {
      const buffer = device.createBuffer(descriptor);
      const map = buffer.mapAsync.bind(buffer);
      buffer.mapAsync = async (...args: Parameters<GPUBuffer['mapAsync']>) => {
        travelling.most = Math.max(travelling.most, ++travelling.now);
        await map(...args);
        await new Promise((resolve) => setTimeout(resolve, DELAY_MS));
        travelling.now--;
      };
      return buffer;
    },
  }));
  return { gpu, travelling };
}

const ask = (engine: LocalEngine, options: Partial<GenerateOptions> = {}, prompt = 'The wind blows.') =>
  answer(engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 90, ...options }));

/** Contents of the cache: texts of finished requests, and free pages. */
async function cached(engine: LocalEngine) {
  const { sequences, transformer } = await engine.session();
  return {
    texts: sequences.idle.map(({ tokens, pages }) => ({ tokens, pages: pages.length })),
    free: transformer.cache.freePages,
  };
}

describe('with a long readback latency', () => {
  test('steps run ahead of results, and discarded steps have no effect', async () => {
    const near = await engineUnderTest(bytes);
    const { gpu, travelling } = farGpu();
    const far = await engineUnderTest(bytes, { gpu });
    const whole = await ask(near);
    const stop = [whole.text.slice(30, 36)];
    const sampled = { sampling: { ...GREEDY, temperature: 1, topP: 0.9, repetitionPenalty: 1.2, seed: 5 } };
    const requests: [Partial<GenerateOptions>, string?][] = [
      [{ stop }],
      [{ maxTokens: 3 }],
      [sampled],
      [{ topLogprobs: 2, maxTokens: 5 }],
      [{}, 'The wind blows. And'],
      [{ maxTokens: 1 }],
    ];
    expect((await ask(far)).tokens).toEqual(whole.tokens);
    expect(travelling.most).toBeGreaterThan(8);
    for (const request of requests) {
      const expected = await ask(near, ...request);
      const { tokens, text, end } = await ask(far, ...request);
      expect({ tokens, text, ...end.usage, reason: end.finishReason }).toEqual({
        ...{ tokens: expected.tokens, text: expected.text, ...expected.end.usage, reason: expected.end.finishReason },
      });
      expect(end.report.kv.pages).toEqual(expected.end.report.kv.pages);
      expect(await cached(far)).toEqual(await cached(near));
    }
  });

  test('on a device with small limits few steps are in flight, and submissions are small', async () => {
    const near = await engineUnderTest(bytes);
    const counts = countGpu();
    const sizes: number[] = [];
    let before = 0;
    const { gpu, travelling } = farGpu(() => {
      sizes.push(counts.dispatches - before);
      before = counts.dispatches;
    });
    const far = await engineUnderTest(bytes, { gpu, submissions: { inFlight: 100, submission: 20 } });
    expect(Math.max(...sizes)).toBe(16); // at warm-up
    travelling.most = 0;
    const { tokens, end } = await ask(far, { maxTokens: 40 });
    expect(Math.max(...sizes)).toBe(20);
    expect(tokens).toEqual((await ask(near, { maxTokens: 40 })).tokens);
    const most = Math.floor(100 / end.report.dispatchesPerToken);
    expect(most).toBeGreaterThan(1);
    expect(travelling.most).toBe(most + 1); // and the step that is read next
  });

  test('sequences that share steps give the same answers as each alone', async () => {
    const prompts = ['The wind blows.', 'Seven winds', 'A third one sleeps in a cave.'];
    const near = await engineUnderTest(bytes);
    const alone = [];
    for (const [i, prompt] of prompts.entries())
      alone.push((await ask(near, { maxTokens: 30 + 15 * i }, prompt)).tokens);
    const far = await engineUnderTest(bytes, farGpu());
    const together = await Promise.all(prompts.map((prompt, i) => ask(far, { maxTokens: 30 + 15 * i }, prompt)));
    expect(together.map(({ tokens }) => tokens)).toEqual(alone);
  });

  test('a text whose pages shrink runs one step ahead, with the same answer', async () => {
    const { gpu, travelling } = farGpu();
    const options = { kv: 'q4', maxTokens: 8 } as const;
    const prompt = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(2);
    const expected = await ask(await engineUnderTest(bytes), options, prompt);
    const far = await engineUnderTest(bytes, { gpu });
    travelling.most = 0;
    expect((await ask(far, options, prompt)).tokens).toEqual(expected.tokens);
    expect(travelling.most).toBeLessThanOrEqual(2);
  });

  test('an abort submits no further step, and the next answer is right', async () => {
    const near = await engineUnderTest(bytes);
    const expected = await ask(near);
    const far = await engineUnderTest(bytes, farGpu());
    const { queue } = (await far.session()).device.gpuDevice;
    const controller = new AbortController();
    let dispatches = 0;
    const { recorder } = await far.session();
    const aborted = async (): Promise<void> => {
      let tokens = 0;
      for await (const event of far.complete('The wind blows.', {
        sampling: GREEDY,
        stop: [],
        maxTokens: 200,
        signal: controller.signal,
      })) {
        if (event.type !== 'token' || ++tokens < 20) continue;
        controller.abort();
        dispatches = recorder.dispatches;
      }
    };
    await expectError(aborted, 'aborted', { reason: /aborted/ });
    expect(recorder.dispatches).toBe(dispatches);
    await queue.onSubmittedWorkDone();
    expect((await ask(far)).tokens).toEqual(expected.tokens);
  });
});

describe('number of steps ahead', () => {
  /** Steps ahead after results that came `times` milliseconds apart. */
  function ahead(latency: number, times: readonly number[], underWay = true, dispatches = 20): number {
    let now = 0;
    const stepsAhead = new StepsAhead(latency, 2000, () => now);
    stepsAhead.arrived(underWay, dispatches);
    for (const ms of times) {
      now += ms;
      stepsAhead.arrived(underWay, dispatches);
    }
    return stepsAhead.steps;
  }

  test('is the number of steps computed while a result travels', () => {
    expect(ahead(100, [])).toBe(1);
    expect(ahead(100, [10])).toBe(11);
    expect(ahead(100, [20, 20, 100, 20, 20, 100])).toBe(6); // a burst of results, and the pause after it
    expect(ahead(100, [0.01, 0.01])).toBe(MOST_AHEAD);
    expect(ahead(100, [300])).toBe(2);
  });

  test('is limited by dispatches in flight, and is at least one', () => {
    expect(ahead(100, [2], true, 10)).toBe(51);
    expect(ahead(100, [2], true, 200)).toBe(10);
    expect(ahead(100, [2], true, 2001)).toBe(1);
  });

  test('is one with a short latency, and before any measurement', () => {
    expect(ahead(0.5, [0.1, 0.1, 0.1])).toBe(1);
    expect(ahead(100, [10, 10], false)).toBe(1); // the GPU was idle between them
  });
});
