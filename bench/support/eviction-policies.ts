import type { Change, Trial } from '../../src/cache/cache-page.ts';
import { type CachePolicy, type CacheView, numLayers, type OldPage, oldPages } from '../../src/cache/policy.ts';
import { PAGE_TOKENS } from '../../src/kernels/heads.ts';

/**
 * What others do where memory is short: they give tokens up, in each layer others, and keep the rest in f16. Here to be
 * measured against. Each keeps a `share` of the old pages of every layer, in [0, 1], and always the first page and the
 * recent ones. What goes is a whole page of PAGE_TOKENS tokens, the cache's unit, where the papers choose single tokens:
 * it is left without entries, which take no bytes.
 */
const EVICTED = { form: 'sparse', entries: 0 } as const;

/** The first page and the latest ones (StreamingLLM: Xiao et al. 2023), but for positions: what is kept stays at its own. */
export const slidingWindow = (share: number): CachePolicy => ({
  key: `sliding window ${share}`,
  changes(view) {
    const old = oldPages(view);
    const last = (old.at(-1)?.page ?? 0) - keptOf(share, old.length / numLayers(view));
    return old.filter(({ page, now }) => page <= last && now.form === 'f16').map(evicted);
  },
});

/**
 * H2O (Zhang et al. 2023): half of what is kept are the latest pages, the other half those that attention went to most
 * since they were written. It is asked at each batch, of the batch's latest four queries (probe-page), not of all.
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
 * SnapKV (Li et al. 2024): those pages that the latest queries look at, four of them and at each batch anew, where the
 * paper asks up to 64 once, at a prompt's end. Its pooling of neighbouring tokens is the sum over a page's.
 */
export const latestAttention = (share: number): CachePolicy => ({
  key: `latest attention ${share}`,
  trials: candidates,
  choose: (trials, view) => leastOf(share, trials, view, ({ mass }) => mass, 0),
});

/** All there may be: beyond KvCache.mostCopies, 32 pages a layer that are left, the latest are not asked about, and stay. */
const candidates = (view: CacheView): Change[] =>
  oldPages(view)
    .filter(({ now }) => now.form === 'f16')
    .map(evicted);

const evicted = ({ page, layer }: OldPage): Change => ({ page, layer, ...EVICTED });

const keptOf = (share: number, oldPages: number): number => Math.round(share * oldPages);

/** Pages of a layer that will be old when the choice takes effect: those of the batch meanwhile are full by then. */
const afterwards = (view: CacheView): CacheView => ({ ...view, tokens: view.pages.length * PAGE_TOKENS });
const oldAfterwards = (view: CacheView): number => oldPages(afterwards(view)).length / numLayers(view);

/** Of each layer as many as are too many, those of least score first, none of its `recent` latest old pages. */
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
