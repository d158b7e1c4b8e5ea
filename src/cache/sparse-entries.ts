import { PAGE_TOKENS } from '../kernels/heads.ts';
import { SPARSE_FORM } from '../kernels/formats/page-forms.ts';
import type { CachePage, LayerPage, Slot } from './cache-page.ts';

/**
 * An entry of a head: the index of its page in the sequence, its index in that page, its share of attention when the text was
 * repeated, and the mean squared share that later queries gave it, 0 if none did; see cache-page.ts.
 */
export interface Source {
  page: number;
  entry: number;
  share: number;
  square: number;
}

/** The larger, the sooner it stays. */
interface Scored extends Source {
  score: number;
}

/** New contents of one layer's page: the entries of each head, at most PAGE_TOKENS; undefined for none. */
export interface NewContents {
  page: number;
  heads: readonly (readonly Source[] | undefined)[];
}

/** The measured pages that entries are chosen from. */
export interface Measured {
  pages: readonly CachePage[];
  /** The first one, and the one after the last. */
  first: number;
  end: number;
  /** Layers whose pages can be sparse. */
  layers: readonly number[];
  /** Bytes of a head with entries, however many. */
  headBytes: (layer: number) => number;
}

/** A head keeps a page's entries where they are, and as they are, if so many of them are among the best. */
const STAYING = 24;
/** What the latest entries take of `bytes`. */
const LATEST_SHARE = 1 / 4;
/** Score of the latest entries: more than any other's. */
const LATEST_SCORE = 1e9;

/** Entries of one head in one page. */
interface Held {
  page: number;
  entries: Scored[];
}

/** One head of a layer: its entries by page, all of them from the best on, and how many pages it keeps. */
interface Head {
  held: Held[];
  best: Scored[];
  kept: number;
}

/**
 * The contents of measured pages that fit into `bytes`: the latest entries, which take LATEST_SHARE of them, then those with the
 * largest sum of share and root of mean square, each divided by its mean over all entries, whatever their layer and head. By
 * layer; pages that do not change are not listed. A head keeps its best entries in whole pages of them, so that none is partly
 * filled, and those are kept that have the largest sums.
 */
export function chooseEntries(measured: Measured, bytes: number): Map<number, NewContents[]> {
  const { layers, headBytes } = measured;
  const heads = layers.map((layer) => headsOf(measured, layer));
  score(measured, heads.flat(), bytes);
  const parts = heads.flatMap((own, i) => {
    const cost = headBytes(layers[i] as number);
    return own.flatMap((head) =>
      Array.from({ length: Math.ceil(head.best.length / PAGE_TOKENS) }, (_, at) => {
        const part = head.best.slice(at * PAGE_TOKENS, (at + 1) * PAGE_TOKENS);
        return { head, cost, sum: part.reduce((sum, each) => sum + each.score, 0) };
      }),
    );
  });
  let left = bytes;
  // A head's later parts have smaller sums.
  for (const { head, cost } of parts.sort((a, b) => b.sum - a.sum)) {
    if (cost > left) break;
    left -= cost;
    head.kept++;
  }
  return new Map(layers.map((layer, i) => [layer, contentsOf(measured, layer, heads[i] as Head[])]));
}

function headsOf({ pages, first, end }: Measured, layer: number): Head[] {
  const heads: Head[] = [];
  for (let page = first; page < end; page++) {
    const { slots, squares } = pages[page]?.layers[layer] ?? {};
    slots?.forEach((slot, i) => {
      const head = (heads[i] ??= { held: [], best: [], kept: 0 });
      if (!slot) return;
      const entries = [...slot.shares].map((share, entry) => ({
        ...{ page, entry, share, score: 0 },
        square: squares?.[i]?.[entry] ?? 0,
      }));
      head.held.push({ page, entries });
      head.best.push(...entries);
    });
  }
  return heads;
}

/** Scores the entries of all heads, and orders each head's. */
function score({ layers, headBytes, end }: Measured, heads: readonly Head[], bytes: number): void {
  const entries = heads.flatMap(({ best }) => best);
  const meanOf = (of: (entry: Source) => number): number =>
    entries.reduce((sum, entry) => sum + of(entry), 0) / entries.length || 1;
  const root = ({ square }: Source): number => Math.sqrt(square);
  const [meanShare, meanRoot] = [meanOf(({ share }) => share), meanOf(root)];
  const pageBytes = (heads.length / layers.length) * layers.reduce((sum, layer) => sum + headBytes(layer), 0);
  const latest = end - Math.floor((LATEST_SHARE * bytes) / pageBytes);
  for (const entry of entries) {
    entry.score = entry.page >= latest ? LATEST_SCORE : entry.share / meanShare + root(entry) / meanRoot;
  }
  for (const { best } of heads) best.sort((a, b) => b.score - a.score);
}

function contentsOf({ pages, first, end }: Measured, layer: number, heads: readonly Head[]): NewContents[] {
  const placed = heads.map((head) => placesOf(head, first));
  return Array.from({ length: end - first }, (_, i) => first + i).flatMap((page) => {
    const own = placed.map((places) => places.get(page));
    const now = pages[page]?.layers[layer] as LayerPage;
    const stays = own.every((entries, head) => isSame(entries, page, now.slots?.[head]));
    return stays && (now.form === 'sparse' || now.form === SPARSE_FORM) ? [] : [{ page, heads: own }];
  });
}

const isSame = (entries: readonly Source[] | undefined, page: number, slot: Slot | undefined): boolean =>
  entries === undefined || slot === undefined
    ? entries === slot
    : entries.length === slot.shares.length && entries.every((entry) => entry.page === page);

/**
 * The entries that a head keeps, by page. Pages that stay have entries that are not among the best, and others go for these,
 * but none of the better half.
 */
function placesOf({ held, best, kept }: Head, first: number): Map<number, readonly Source[]> {
  const chosen = best.slice(0, kept * PAGE_TOKENS);
  const countIn = (some: readonly Source[]) => {
    const set = new Set(some);
    return (entries: readonly Source[]): number => entries.filter((entry) => set.has(entry)).length;
  };
  const better = chosen.slice(0, chosen.length / 2);
  const [chosenIn, betterIn] = [countIn(chosen), countIn(better)];
  const staying = held
    .map((each) => ({ ...each, count: chosenIn(each.entries), better: betterIn(each.entries) }))
    .filter(({ count, entries }) => count >= Math.min(STAYING, entries.length))
    .sort((a, b) => b.count - a.count)
    .slice(0, kept);
  let moved = staying.reduce((left, page) => left - page.better, better.length);
  while (moved > (kept - staying.length) * PAGE_TOKENS) moved += staying.pop()?.better ?? 0;
  const places = new Map(staying.map(({ page, entries }): [number, readonly Source[]] => [page, entries]));
  const others = best.filter(({ page }) => !places.has(page)).slice(0, (kept - staying.length) * PAGE_TOKENS);
  others.sort((a, b) => a.page - b.page || a.entry - b.entry);
  let page = first;
  for (let at = 0; at < others.length; at += PAGE_TOKENS) {
    while (places.has(page)) page++;
    places.set(page, others.slice(at, at + PAGE_TOKENS));
  }
  return places;
}
