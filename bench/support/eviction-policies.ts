import type { Change, Trial } from '../../src/cache/cache-page.ts';
import { type CachePolicy, type CacheView, numLayers, type OldPage, oldPages } from '../../src/cache/policy.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';

/**
 * Other cache policies for comparison: they evict tokens, different ones per layer, and keep the rest in f16. Each
 * keeps a `share` of the old pages of every layer, in [0, 1], and always the first page and the recent ones. They evict
 * whole pages of PAGE_TOKENS tokens, the cache's unit, where the papers evict single tokens; an evicted page has no
 * entries and takes no bytes.
 */
const EVICTED = { form: 'sparse', entries: 0 } as const;

/**
 * The first page and the latest ones (StreamingLLM: Xiao et al. 2023), except that kept tokens keep their positions.
 */
export const slidingWindow = (share: number): CachePolicy => ({
  key: `sliding window ${share}`,
  changes(view) {
    const old = oldPages(view);
    const last = (old.at(-1)?.page ?? 0) - keptOf(share, old.length / numLayers(view));
    return old.filter(({ page, now }) => page <= last && now.form === 'f16').map(evicted);
  },
});

/**
 * H2O (Zhang et al. 2023): half of the kept pages are the latest, the other half those with most attention since they
 * were written. Attention is probed per batch with the latest four queries (probe-page), not all.
 */
export const heavyHitters = (share: number): CachePolicy => ({
  key: `heavy hitters ${share}`,
  trials: candidates,
  choose(trials, view) {
    const massOf = ({ page, layer }: Trial): number => view.pages[page]?.layers[layer]?.mass ?? 0;
    return leastOf(share, trials, view, massOf, Math.ceil(keptOf(share, oldAfterwards(view)) / 2));
  },
});

/**
 * SnapKV (Li et al. 2024): pages that the latest four queries attend to, chosen per batch, where the paper uses up to
 * 64 queries once at a prompt's end. Its pooling of neighbouring tokens is the sum over a page.
 */
export const latestAttention = (share: number): CachePolicy => ({
  key: `latest attention ${share}`,
  trials: candidates,
  choose: (trials, view) => leastOf(share, trials, view, ({ mass }) => mass, 0),
});

/** Most probed pages: beyond KvCache.mostCopies, 32 pages per layer, the latest are not probed and stay. */
const candidates = (view: CacheView): Change[] =>
  oldPages(view)
    .filter(({ now }) => now.form === 'f16')
    .map(evicted);

const evicted = ({ page, layer }: OldPage): Change => ({ page, layer, ...EVICTED });

const keptOf = (share: number, oldPages: number): number => Math.round(share * oldPages);

/** Old pages of a layer when the choice takes effect, when pages of the current batch are full. */
const afterwards = (view: CacheView): CacheView => ({ ...view, tokens: view.pages.length * PAGE_TOKENS });
const oldAfterwards = (view: CacheView): number => oldPages(afterwards(view)).length / numLayers(view);

/** Evicts surplus pages per layer, lowest scores first, but none of the `recent` latest old pages. */
function leastOf(
  share: number,
  trials: readonly Trial[],
  view: CacheView,
  scoreOf: (trial: Trial) => number,
  recent: number,
): Trial[] {
  const old = oldPages(afterwards(view));
  const firstRecent = (old.at(-1)?.page ?? 0) - recent + 1;
  const kept = keptOf(share, oldAfterwards(view));
  return Array.from({ length: numLayers(view) }, (_, layer) => {
    const left = old.filter(({ now, layer: of }) => of === layer && now.form === 'f16').length;
    const byScore = trials
      .filter(({ page, layer: of }) => of === layer && page < firstRecent)
      .sort((a, b) => scoreOf(a) - scoreOf(b));
    return byScore.slice(0, Math.max(0, left - kept));
  }).flat();
}
