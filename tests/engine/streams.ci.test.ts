import { expect, test } from 'vitest';
import { nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { answer } from '../support/answer.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { engineUnderTest } from '../support/engine-under-test.ts';
import { fixedMemory } from '../support/fixed-memory.ts';
import { countGpu } from '../support/gpu/gpu-counts.ts';
import { peftSource, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { ask, bytes, eachAlone, type Request, REQUESTS, start, tokensOf } from '../support/requests-side-by-side.ts';

test('an unread answer delays no other, and continues from its place', async () => {
  const [first, second] = REQUESTS as [Request, Request];
  const alone = await eachAlone(await engineUnderTest(bytes), [first, second]);
  const engine = await engineUnderTest(bytes);
  const slow = start(engine, first);
  const tokens: number[] = [];
  for (let i = 0; i < 3; i++) {
    const { value } = await slow.next();
    if (value?.type === 'token') tokens.push(value.token);
  }
  expect((await ask(engine, second)).tokens).toEqual(alone[1]?.tokens);
  tokens.push(...(await answer(slow)).tokens);
  expect(tokens).toEqual(alone[0]?.tokens);
});

test('after a lost device, requests that begin together share one new session and one upload of their adapter', async () => {
  const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
  const engine = await engineUnderTest(bytes, { gpu: nodeGpu() });
  await engine.loadAdapter('a', peftSource(tinyAdapter(config, { seed: 1, rank: 4 })));
  // Prompts have no common prefix: cached tokens keep the ranks they were computed with.
  const requests = REQUESTS.map((request, i) => ({
    ...{ ...request, prompt: `${i}. ${request.prompt}` },
    adapters: [{ name: 'a', scale: 1 }],
  }));
  const usual = await eachAlone(engine, requests);
  const memory = engine.memory();
  (await engine.session()).device.gpuDevice.destroy();
  await new Promise((resolve) => setTimeout(resolve, 50));
  const gpu = countGpu();
  const together = await Promise.all(requests.map((request) => ask(engine, request)));
  expect(tokensOf(together)).toEqual(tokensOf(usual));
  expect(fixedMemory(engine.memory())).toEqual(fixedMemory(memory)); // one at a time took less room in the cache
  expect(gpu.liveBytes()).toBe(engine.memory().total);
});
