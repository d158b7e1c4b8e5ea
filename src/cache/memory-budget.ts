import { PAGE_TOKENS } from '../kernels/heads.ts';
import type { Change } from './cache-page.ts';
import { kvBytes } from './kv-report.ts';
import {
  type CachePolicy,
  type CacheView,
  fullPages,
  oldPages,
  oldPagesAs,
  pagesBeyondContext,
  RECENT_PAGES,
} from './policy.ts';

/** What pages are written as, unasked, where memory is short: the smallest form that costs next to nothing, and what the first and recent ones are. */
const forcedPages = (view: CacheView): Change[] => {
  const isOld = new Set(oldPages(view).map(({ now }) => now));
  const others = fullPages(view).filter(({ now }) => now.form === 'f16' && !isOld.has(now));
  return [
    ...oldPagesAs(view, 'q4'),
    ...others.map(({ page, layer }): Change => ({ page, layer, form: 'q8', entries: PAGE_TOKENS })),
  ];
};

/** Bytes that the sequence's pages come to with what comes next. */
function bytesToCome({ pages, tokens, upcoming, nextBytes }: CacheView): number {
  const more = Math.max(0, Math.ceil((tokens + upcoming) / PAGE_TOKENS) - pages.length);
  return kvBytes(pages) + more * nextBytes;
}

/**
 * `policy` where the pages of a text take at most `bytes` on the GPU. Nothing changes until they would come to more.
 * Where `wins`, what the policy does not bring is brought without asking: old pages in f16 or q8 take q4 at once, other full
 * ones in f16 q8, and then the oldest are given up. Else the budget of error holds, and the bytes may come to more.
 */
export const withMemoryBudget = (policy: CachePolicy, bytes: number, wins: boolean): CachePolicy => ({
  ...policy,
  key: `${policy.key} ${bytes} ${wins}`,
  trials: (view) => (bytesToCome(view) > bytes ? (policy.trials?.(view) ?? []) : []),
  changes(view) {
    if (bytesToCome(view) <= bytes) return [];
    const wanted = policy.changes?.(view) ?? [];
    if (!wins) return wanted;
    const placeOf = ({ page, layer }: Change): string => `${page} ${layer}`;
    const own = new Map(wanted.map((each) => [placeOf(each), each.form]));
    // What the policy makes as small by itself is not forced.
    const forced = forcedPages(view).filter((each) => {
      const form = own.get(placeOf(each));
      return form === undefined || (form === 'q8' && each.form !== 'q8');
    });
    const isForced = new Set(forced.map(placeOf));
    return [
      ...wanted.filter((each) => !isForced.has(placeOf(each))),
      ...forced.map((each) => ({ ...each, forced: true })),
    ];
  },
  drops(view) {
    const beyondContext = policy.drops?.(view) ?? pagesBeyondContext(view);
    return wins ? Math.max(beyondContext, pagesBeyond(bytes, view)) : beyondContext;
  },
});

function pagesBeyond(bytes: number, view: CacheView): number {
  const { pages, keptPages } = view;
  const most = Math.max(0, pages.length - RECENT_PAGES - 1 - keptPages);
  let over = bytesToCome(view) - bytes;
  let count = 0;
  while (over > 0 && count < most) {
    over -= kvBytes(pages.slice(keptPages + count, keptPages + count + 1));
    count++;
  }
  return count;
}
