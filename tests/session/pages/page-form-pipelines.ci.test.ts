import { expect, test } from 'vitest';
import { GREEDY } from '../../../src/config/sampling.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';
import { answer } from '../../support/answer.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { derivedGpu } from '../../support/gpu/derived-gpu.ts';
import { countGpu } from '../../support/gpu/gpu-counts.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 51, contextLength: 512 });
const SENTENCE = 'Seven winds blow over the sea, and the eighth waits in a cave. ';

/** Pipelines that an answer waited for, pipelines compiled in the background, and the changed pages. */
async function answered(prompt: string, kv: 'policy' | 'dense', maxTokens: number) {
  const engine = await engineUnderTest(bytes);
  const counts = countGpu();
  const { end } = await answer(engine.complete(prompt, { kv, sampling: GREEDY, stop: [], maxTokens }));
  const { pages } = end.report.kv;
  return {
    waited: counts.pipelines,
    aside: counts.pipelinesAside,
    changed: pages.q8 + pages.q4 + pages.q3 + pages.k3v2,
  };
}

test('a long prompt waits until the pipelines of smaller page forms are compiled in the background', async () => {
  const { waited, aside, changed } = await answered(SENTENCE.repeat(6), 'policy', 40);
  expect(changed).toBeGreaterThan(0);
  expect([waited, aside]).toEqual([0, 3]);
});

test('for a short prompt they are compiled during the answer', async () => {
  const { aside, changed } = await answered('Winds', 'policy', 200);
  expect(changed).toBeGreaterThan(0);
  expect(aside).toBe(3);
});

test('they are not compiled for a text whose pages will not shrink', async () => {
  expect(await answered('Winds', 'policy', 40)).toEqual({ waited: 0, aside: 0, changed: 0 });
  expect(await answered(SENTENCE.repeat(6), 'dense', 40)).toEqual({ waited: 0, aside: 0, changed: 0 });
});

test('a request whose times are compared waits for them even if it is short, so that later measurements need not', async () => {
  let goOn = (): void => undefined;
  let held = Promise.resolve();
  const gpu = derivedGpu((device) => ({
    createComputePipelineAsync: async (descriptor) => held.then(() => device.createComputePipelineAsync(descriptor)),
  }));
  const engine = await engineUnderTest(bytes, { gpu });
  held = new Promise((resolve) => (goOn = resolve));
  const ask = (prompt: string, options: object) =>
    engine.complete(prompt, { sampling: GREEDY, stop: [], maxTokens: 4, ...options });
  let hasBegun = false;
  const compared = answer(ask('Winds', { kv: 'policy', recomputePrompt: true })).finally(() => (hasBegun = true));
  await answer(ask(SENTENCE, { kv: 'dense', maxTokens: 40 }));
  expect(hasBegun).toBe(false);
  goOn();
  await compared;
  const counts = countGpu();
  await answer(ask(SENTENCE.repeat(6), { kv: 'policy', maxTokens: 40 }));
  expect([counts.pipelines, counts.pipelinesAside]).toEqual([0, 0]);
});
