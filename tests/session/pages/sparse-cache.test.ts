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

/** The text that the engine measures layers with repeats after as many tokens. */
const BACK = 128;

/**
 * Layers of equal outputs, which attend by distance alone: those of `fetching` to the token `BACK` tokens before, the others to
 * the token itself; the more alone, the larger `gain`.
 */
function fetchingModel(numLayers: number, fetching: readonly number[], gain: number): Uint8Array {
  const [numHeads, numKvHeads, headDim, ropeTheta] = [4, 2, 64, 10_000];
  const half = headDim / 2;
  /** Turned back by `distance`; components `half` apart are a pair. */
  const bias = (heads: number, distance: number) =>
    Float32Array.from({ length: heads * headDim }, (_, i) => {
      const angle = distance * ropeTheta ** (-(i % half) / half);
      return gain * (i % headDim < half ? Math.cos(angle) : -Math.sin(angle));
    });
  const values = Object.fromEntries(
    Array.from({ length: numLayers }, (_, layer) => [
      [`blk.${layer}.attn_q.bias`, bias(numHeads, fetching.includes(layer) ? BACK : 0)],
      [`blk.${layer}.attn_k.bias`, bias(numKvHeads, 0)],
    ]).flat(),
  ) as Record<string, Float32Array>;
  return tinyModel({
    ...{ architecture: 'qwen2', type: 'Q4_1', seed: 55, contextLength: 1024, attentionGain: 0.01 },
    ...{ numLayers, numHeads, numKvHeads, headDim, ropeTheta, values },
  });
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

  // With a gain of 8 nothing but rounding is left of the attention to other text.
  test.each([
    { fetching: [0, 3], gain: 2.5 },
    { fetching: [1, 2], gain: 8 },
  ])('layers that fetch far text keep it, and the others give it up (gain $gain)', async ({ fetching, gain }) => {
    const engine = await engineUnderTest(fetchingModel(4, fetching, gain));
    const dense = await lastLogits(engine, tokens, DENSE);
    expect(dense.kv.givenUpErrors).toBeUndefined();
    const sparse = watched(sparsePolicy());
    const { kv } = await lastLogits(engine, tokens, sparse.policy);
    const giving = new Set(
      sparse.pages().flatMap(({ layers }) => [...layers.keys()].filter((i) => isGivenUp(layers[i]!))),
    );
    const others = [0, 1, 2, 3].filter((layer) => !fetching.includes(layer));
    expect([...giving].sort()).toEqual(others);
    for (const layer of fetching) expect(kv.givenUpErrors?.[layer]).toBe(0);
    // Within fewer bytes the fetching layers give up pages too, and the report tells what these cost.
    const policy = sparsePolicy(Math.floor(0.15 * total(dense.kv.bytes)));
    const { givenUpErrors = [] } = (await lastLogits(engine, tokens, policy)).kv;
    for (const layer of fetching) {
      expect(givenUpErrors[layer]).toBeGreaterThan(0.2);
      expect(givenUpErrors[layer]).toBeLessThan(Math.SQRT2);
    }
    for (const layer of others) expect(givenUpErrors[layer]).toBeLessThan(0.05);
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
