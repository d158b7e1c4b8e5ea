import { describe, expect, test } from 'vitest';
import { type CachePage, isGivenUp, type LayerPage, RESUMED_PAGES } from '../../../src/cache/cache-page.ts';
import { type CachePolicy, DENSE, fixedForm, sparsePolicy } from '../../../src/cache/policy.ts';
import { UNADAPTED } from '../../../src/engine/adapters.ts';
import { eachLogits } from '../../../cli/measure/evaluate.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import { UNIT_BYTES } from '../../../src/kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../../../src/kernels/heads.ts';
import { engineUnderTest } from '../../support/engine-under-test.ts';
import { nmse } from '../../support/nmse.ts';
import { randomTokens } from '../../support/random-tokens.ts';
import { tinyModel } from '../../support/models/tiny-model.ts';

/** Without positions: a token attends to the tokens before it at any distance. */
const model = (numLayers: number) =>
  tinyModel({
    architecture: 'llama',
    type: 'Q4_1',
    seed: 54,
    contextLength: 1024,
    numLayers,
    ropeLinearScale: 1e6,
  });
const tokens = randomTokens(610, 270, 9);

async function lastLogits(engine: LocalEngine, text: readonly number[], policy: CachePolicy) {
  let last = new Float32Array();
  const visit = (_: number, length: number, logits: Float32Array): void =>
    void (last = logits.slice(logits.length - logits.length / length));
  const { kv } = await engine.alone((session) => eachLogits(session, text, visit, { policy }));
  return { last, kv };
}

/** Also notes the pages before the last batch. */
function watched(policy: CachePolicy): { policy: CachePolicy; pages: () => readonly CachePage[] } {
  let seen: readonly CachePage[] = [];
  const drops: CachePolicy['drops'] = (view) => {
    seen = [...view.pages];
    return policy.drops?.(view) ?? 0;
  };
  return { policy: { ...policy, drops }, pages: () => seen };
}

const gaveUp = ({ layers }: CachePage): boolean => layers.some(isGivenUp);

const total = (of: Record<string, number>): number => Object.values(of).reduce((sum, each) => sum + each, 0);

describe('a sparse cache', () => {
  test('answers as the text without the tokens that its only layer gave up', async () => {
    const engine = await engineUnderTest(model(1));
    const dense = await lastLogits(engine, tokens, DENSE);
    const sparse = watched(sparsePolicy(Math.floor(0.15 * total(dense.kv.bytes))));
    const { last, kv } = await lastLogits(engine, tokens, sparse.policy);
    const left = tokens.filter(
      (_, i) => !sparse.pages().some((page) => gaveUp(page) && Math.floor(i / PAGE_TOKENS) === page.base / PAGE_TOKENS),
    );
    expect(tokens.length - left.length).toBe(kv.mergedTokens);
    expect(kv.mergedTokens).toBeGreaterThan(tokens.length / 3);
    const without = (await lastLogits(engine, left, fixedForm('k3v2'))).last;
    expect(nmse([last], [without])).toBeLessThan(nmse([last], [dense.last]) / 4);
  });

  test('keeps the budget; its report has the bytes that are allocated, and NaN in freed bytes changes nothing', async () => {
    const plain = await engineUnderTest(model(3));
    const dense = total((await lastLogits(plain, tokens, DENSE)).kv.bytes);
    const policy = sparsePolicy(Math.floor(0.2 * dense));
    const clean = await lastLogits(plain, tokens, policy);
    const engine = await engineUnderTest(model(3));
    const { transformer, device } = await engine.session();
    let live = 0;
    let poisoned = 0;
    for (const layer of transformer.cache.layers) {
      const [add, remove] = [layer.add.bind(layer), layer.remove.bind(layer)];
      layer.add = (form, entries) => {
        const page = add(form, entries);
        live += page.place.units * UNIT_BYTES;
        return page;
      };
      layer.remove = (page: LayerPage) => {
        remove(page);
        const size = page.place.units * UNIT_BYTES;
        live -= size;
        poisoned++;
        const nans = new Uint16Array(size / 2).fill(0x7e00);
        device.gpuDevice.queue.writeBuffer(layer.buffer, page.place.offset * UNIT_BYTES, nans);
      };
    }
    let atEnd = 0;
    const visit = (): void => void (atEnd = live);
    const { kv } = await engine.alone((session) => eachLogits(session, tokens, visit, { policy }));
    expect(total(kv.bytes)).toBe(atEnd);
    expect(kv.peakBytes).toBeLessThanOrEqual(0.2 * dense);
    expect(kv.mergedTokens).toBeGreaterThan(100);
    expect(kv.droppedTokens).toBe(0);
    expect(poisoned).toBeGreaterThan(20);
    expect((await lastLogits(engine, tokens, policy)).last).toEqual(clean.last);
  });

  test('a text that diverges soon after pages that a layer gave up continues before the first of them', async () => {
    const engine = await engineUnderTest(model(3));
    const session = await engine.session();
    const policy = sparsePolicy();
    const sequence = session.sequences.take(tokens, { policy });
    sequence.attach(await UNADAPTED.begin(tokens, 0));
    await session.prefill(sequence, tokens, () => undefined);
    session.sequences.giveBack(sequence);
    const whole = [...sequence.pages];
    const [first, last] = [whole.findIndex(gaveUp), whole.findLastIndex(gaveUp)];
    expect(last - first).toBeGreaterThan(5);
    for (let length = tokens.length - 40; length > PAGE_TOKENS; length -= 37) {
      const cut = session.sequences.take([...tokens.slice(0, length), 5], { policy });
      const end = Math.floor(length / PAGE_TOKENS);
      const goesOn = end <= first || end > last + RESUMED_PAGES;
      // A page in f16 is continued in its middle.
      expect(cut.tokens.length).toBeGreaterThanOrEqual(PAGE_TOKENS * (goesOn ? end : first));
      expect(cut.tokens.length).toBeLessThanOrEqual(goesOn ? length : PAGE_TOKENS * first);
      session.sequences.giveBack(cut);
    }
  });
});
