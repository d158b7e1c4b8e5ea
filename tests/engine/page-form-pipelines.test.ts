import { expect, test } from 'vitest';
import { GREEDY } from '../../src/config/sampling.ts';
import { tinyModel } from '../weights/tiny-model.ts';
import { answer } from './answer.ts';
import { engineUnderTest } from './engine-under-test.ts';
import { countGpu } from './gpu-counts.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 51, contextLength: 512 });
const PROMPT = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(6);

/** Pipelines made while one answer is computed, and its pages that have changed. */
async function answerAfter(options: { compilesPageForms?: boolean }, kv: 'policy' | 'dense') {
  const engine = await engineUnderTest(bytes, options);
  const counts = countGpu();
  const { end } = await answer(engine.complete(PROMPT, { kv, sampling: GREEDY, stop: [], maxTokens: 40 }));
  const { pages } = end.report.kv;
  return { pipelines: counts.pipelines, changed: pages.q8 + pages.q4 + pages.k4v2 };
}

test('with the page forms compiled aside after loading, the first answer that shrinks pages waits for no pipeline of its own', async () => {
  const late = await answerAfter({}, 'policy');
  const early = await answerAfter({ compilesPageForms: true }, 'policy');
  expect(early.changed).toBe(late.changed);
  expect(early.changed).toBeGreaterThan(0);
  expect(late.pipelines).toBeGreaterThan(0);
  expect(early.pipelines).toBe(0);
  expect((await answerAfter({}, 'dense')).pipelines).toBe(0);
});
