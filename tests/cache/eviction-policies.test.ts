import { describe, expect, test } from 'vitest';
import { type CachePage, LayerLosses, type LayerPage, type Trial } from '../../src/cache/cache-page.ts';
import { heavyHitters, latestAttention, slidingWindow } from '../../bench/support/eviction-policies.ts';
import type { CachePolicy, CacheView } from '../../src/cache/policy.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';

const LAYERS = 2;
/** Pages of a text: the first one, ten old ones and a recent one. */
const PAGES = 12;

/** Pages in f16 with these masses, `[page][layer]`. */
const viewOf = (massOf: (page: number, layer: number) => number = () => 0, count = PAGES): CacheView => {
  const pages = Array.from({ length: count }, (_, page): CachePage => {
    const layers = Array.from({ length: LAYERS }, (_, layer): LayerPage => {
      return { form: 'f16', entries: PAGE_TOKENS, place: { offset: 0, units: 1 }, mass: massOf(page, layer) };
    });
    return { base: page * PAGE_TOKENS, layers };
  });
  return {
    pages,
    tokens: count * PAGE_TOKENS,
    upcoming: 1,
    keptPages: 1,
    contextLength: 4096,
    halfBytes: 1,
    nextBytes: 1,
    changingLayers: [0, 1],
    formBytes: () => 1,
    residualShares: [],
    farLosses: new LayerLosses(),
    probed: new LayerLosses(),
  };
};

/** Trials that the policy adopts if the latest queries give pages these attention masses. */
function chosen(policy: CachePolicy, view: CacheView, massOf: (page: number, layer: number) => number): Trial[] {
  const trials = (policy.trials?.(view) ?? []).map((change): Trial => ({
    ...change,
    mass: massOf(change.page, change.layer),
  }));
  return policy.choose?.(trials, view) ?? [];
}

/** Evicts pages, as the engine does. */
function evict(view: CacheView, gone: readonly { page: number; layer: number; entries: number }[]): void {
  const pages = view.pages as CachePage[];
  for (const { page, layer, entries } of gone) {
    const old = pages[page] as CachePage;
    pages[page] = {
      ...old,
      layers: old.layers.with(layer, { ...(old.layers[layer] as LayerPage), form: 'sparse', entries }),
    };
  }
}

const placesOf = (changes: readonly { page: number; layer: number }[], of = 0): number[] =>
  changes
    .filter(({ layer }) => layer === of)
    .map(({ page }) => page)
    .sort((a, b) => a - b);

test('a sliding window evicts the oldest pages of all layers except the first page, and none twice', () => {
  const view = viewOf();
  const changes = slidingWindow(0.3).changes?.(view) ?? [];
  expect(changes.every(({ form, entries }) => form === 'sparse' && entries === 0)).toBe(true);
  for (const layer of [0, 1]) expect(placesOf(changes, layer)).toEqual([1, 2, 3, 4, 5, 6, 7]);
  evict(view, changes);
  expect(slidingWindow(0.3).changes?.(view)).toEqual([]);
  expect(slidingWindow(1).changes?.(viewOf())).toEqual([]);
  expect(placesOf(slidingWindow(0).changes?.(viewOf()) ?? [])).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

describe('heavy hitters', () => {
  /** Attention mass: each layer has another order. */
  const massOf = (page: number, layer: number): number => (layer === 0 ? page : 100 - page);

  test('ranks the pages of each layer by attention so far; half of the kept pages are the latest', () => {
    // The latest queries have the opposite order, which does not count.
    const gone = chosen(heavyHitters(0.4), viewOf(massOf), (page, layer) => -massOf(page, layer));
    expect(placesOf(gone, 0)).toEqual([1, 2, 3, 4, 5, 6]); // kept by mass: 7, 8
    expect(placesOf(gone, 1)).toEqual([3, 4, 5, 6, 7, 8]); // kept by mass: 1, 2
  });

  test('does not try evicted pages again, and keeps the same number of pages', () => {
    const view = viewOf(massOf);
    evict(
      view,
      chosen(heavyHitters(0.4), view, () => 0),
    );
    expect(placesOf(heavyHitters(0.4).trials?.(view) ?? [])).toEqual([7, 8, 9, 10]);
    expect(chosen(heavyHitters(0.4), view, () => 0)).toEqual([]);
  });
});

describe('latest attention', () => {
  test('ranks the pages of each layer by the attention of the latest queries only', () => {
    const latest = (page: number, layer: number): number => ((page * (layer === 0 ? 3 : 7)) % 11) / 11;
    const gone = chosen(
      latestAttention(0.3),
      viewOf((page, layer) => -latest(page, layer)),
      latest,
    );
    for (const layer of [0, 1]) {
      const kept = Array.from({ length: 10 }, (_, i) => i + 1)
        .sort((a, b) => latest(b, layer) - latest(a, layer))
        .slice(0, 3);
      expect(placesOf(gone, layer)).toHaveLength(7);
      expect(placesOf(gone, layer)).not.toEqual(expect.arrayContaining([kept[0]]));
      expect(placesOf(gone, layer).filter((page) => kept.includes(page))).toEqual([]);
    }
  });

  test('pages added during a trial count as old, and are not evicted without a trial', () => {
    const view = viewOf();
    const trials = (latestAttention(0.5).trials?.(view) ?? []).map((change): Trial => ({
      ...change,
      mass: change.page,
    }));
    const later = viewOf(() => 0, PAGES + 2); // two pages of a batch
    const gone = latestAttention(0.5).choose?.(trials, { ...later, tokens: view.tokens }) ?? [];
    expect(placesOf(gone)).toEqual([1, 2, 3, 4, 5, 6]); // six of twelve are kept
  });
});

test('nothing is evicted while there are only the first page and recent ones', () => {
  for (const policy of [slidingWindow(0), heavyHitters(0), latestAttention(0)]) {
    expect(policy.changes?.(viewOf(() => 0, 2)) ?? []).toEqual([]);
    expect(policy.trials?.(viewOf(() => 0, 2)) ?? []).toEqual([]);
  }
});
