import { expect, test } from 'vitest';
import { type KvMap, pagesFor } from '../../../src/cache/kv-cache.ts';
import { GREEDY } from '../../../src/config/sampling.ts';
import { PAGE_FORMS } from '../../../src/kernels/formats/page-forms.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';
import { answer } from '../../support/answer.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';

const bytes = tinyModel({ architecture: 'llama', type: 'Q4_1', seed: 51, contextLength: 2048, neverEnds: true });
const PROMPT = 'Seven winds blow over the sea, and the eighth waits in a cave. '.repeat(12);
const MAX_TOKENS = 40;

/** Number of pages of each form. */
const counts = ({ forms }: KvMap) =>
  Object.fromEntries(PAGE_FORMS.map((form, code) => [form, forms.filter((each) => each === code).length]));

test('a request reports new and changed pages: during the prompt, and up to their final state', async () => {
  const engine = await engineUnderTest(bytes);
  const ask = async (kv: 'dense' | 'q4') => {
    const maps: KvMap[] = [];
    let beforeTokens: number | undefined;
    const request = { kv, sampling: GREEDY, stop: [], maxTokens: MAX_TOKENS, onKv: (map: KvMap) => maps.push(map) };
    async function* events() {
      for await (const event of engine.complete(PROMPT, request)) {
        beforeTokens ??= maps.length;
        yield event;
      }
    }
    const { end } = await answer(events());
    return { maps, beforeTokens: beforeTokens ?? 0, end };
  };
  const [dense, small] = [await ask('dense'), await ask('q4')];
  for (const { maps, beforeTokens, end } of [dense, small]) {
    const { usage, report } = end;
    // The last token is not computed. Batches have at most 256 tokens, so a prompt of this length has several.
    expect(usage.promptTokens).toBeGreaterThan(512);
    expect(beforeTokens).toBeGreaterThan(2);
    expect(maps[0]?.pages).toBeLessThan(pagesFor(usage.promptTokens));
    const last = maps.at(-1) as KvMap;
    expect([last.layers, last.pages]).toEqual([2, pagesFor(usage.promptTokens + MAX_TOKENS - 1)]);
    expect(counts(last)).toEqual(report.kv.pages);
    expect(last.bytes).toBe(Object.values(report.kv.bytes).reduce((sum, each) => sum + each));
    maps.slice(1).forEach((map, i) => expect(map).not.toEqual(maps[i]));
  }
  // Only changes are reported: prompt batches, and every new page during decode.
  const newPages = (dense.maps.at(-1)?.pages ?? 0) - (dense.maps[dense.beforeTokens - 1]?.pages ?? 0);
  expect(newPages).toBeGreaterThan(0);
  expect(dense.maps).toHaveLength(dense.beforeTokens + newPages);
  expect(counts(small.maps.at(-1) as KvMap)['q4']).toBeGreaterThan(2 * 15);
  engine.dispose();
});
