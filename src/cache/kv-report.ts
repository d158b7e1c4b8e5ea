import { PAGE_FORMS, type PageForm, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';
import { type CachePage, isFreed } from './cache-page.ts';
import { LayerLosses } from './probes.ts';
import { recurrentUnits, type RecurrentState } from './recurrent-states.ts';

/** Forms and sizes of a sequence's KV cache. */
export interface KvReport {
  /** Pages by form, counted per layer; pages freed by sliding-window layers are not counted. */
  pages: Record<PageForm, number>;
  bytes: Record<PageForm, number>;
  /** Peak bytes of all pages during the request. */
  peakBytes: number;
  /** Estimated relative L2 error of each layer's attention output due to its pages' forms; forms that were not probed count as 0. */
  layerErrors: number[];
  /** Measured error of the latest queries over all pages at once; only with `kvShadow`. */
  shadowErrors?: number[];
  /**
   * Estimated relative L2 error of each layer's attention output due to the pages that it gave up (`kv: 'sparse'`): as
   * measured once on a text that repeats random tokens, not on this text. Only if pages were given up and layers measured.
   */
  givenUpErrors?: number[];
  /** Tokens of pages that layers gave up, counted per layer. */
  mergedTokens: number;
  /** Tokens evicted from all layers because the text exceeded its context or memory budget. */
  droppedTokens: number;
  /** The memory budget changed or evicted pages regardless of the error budget. */
  memoryOverrode: boolean;
  /** The request wanted smaller forms, but this device computes them wrong, so all pages stay in f16. */
  formsRefused: boolean;
}

/** The part of a sequence that the report reads. */
interface CachedText {
  pages: readonly CachePage[];
  dropped: number;
  memoryOverrode: boolean;
  peakKvBytes: number;
  probed: LayerLosses;
}

/** `farLosses`: see session/pages/far-losses.ts. */
export function kvReport(
  { pages, dropped, memoryOverrode, peakKvBytes: peakBytes, probed }: CachedText,
  formsRefused: boolean,
  farLosses = new LayerLosses(),
): KvReport {
  const zeros = (): Record<PageForm, number> =>
    Object.fromEntries(PAGE_FORMS.map((form) => [form, 0])) as Record<PageForm, number>;
  const counts = (pages[0]?.layers ?? []).map(() => new Map<PageForm, number>());
  const report: KvReport = {
    ...{ pages: zeros(), bytes: zeros(), peakBytes, layerErrors: [] as number[] },
    ...{ mergedTokens: 0, droppedTokens: dropped, memoryOverrode, formsRefused },
  };
  for (const { layers } of pages) {
    layers.forEach((page, layer) => {
      if (isFreed(page)) return;
      const { form, entries, place } = page;
      report.pages[form]++;
      report.bytes[form] += place.units * UNIT_BYTES;
      if (form === 'sparse') report.mergedTokens += PAGE_TOKENS - entries;
      if (form !== 'f16') counts[layer]?.set(form, (counts[layer].get(form) ?? 0) + 1);
    });
  }
  const errorsBy = (losses: LayerLosses): number[] =>
    counts.map((ofForms, layer) =>
      losses.errorOf(layer, new Map([...ofForms].map(([form, count]) => [form, count / pages.length]))),
    );
  report.layerErrors = errorsBy(probed);
  if (report.pages.sparse > 0 && farLosses.pages > 0) report.givenUpErrors = errorsBy(farLosses);
  return report;
}

/** Bytes of all pages in all layers, and of recurrent states. */
export const kvBytes = (pages: readonly CachePage[], states: readonly RecurrentState[] = []): number =>
  (pages.reduce((sum, { layers }) => sum + layers.reduce((units, { place }) => units + place.units, 0), 0) +
    recurrentUnits(states)) *
  UNIT_BYTES;

/** Whether all pages are in f16 in all layers. */
export const allHalf = (pages: readonly CachePage[]): boolean =>
  pages.every(({ layers }) => layers.every(({ form }) => form === 'f16'));

/** The form of each page of a text, by layer. */
export interface KvMap {
  layers: number;
  pages: number;
  /** `[layers, pages]`: indices of `PAGE_FORMS`. */
  forms: Uint8Array;
  /** `[layers, pages]`: tokens of the page that the layer keeps: all, or 0 if it freed the page or gave it up (form `sparse`). */
  entries: Uint8Array;
  /** Bytes of all pages. */
  bytes: number;
  /** The request wanted smaller forms, but this device computes them wrong, so all pages stay in f16. */
  formsRefused: boolean;
}

export function kvMap(pages: readonly CachePage[], formsRefused = false): KvMap {
  const layers = pages[0]?.layers.length ?? 0;
  const forms = new Uint8Array(layers * pages.length);
  const entries = new Uint8Array(layers * pages.length);
  pages.forEach((page, column) => {
    page.layers.forEach((each, layer) => {
      const at = layer * pages.length + column;
      forms[at] = PAGE_FORMS.indexOf(each.form);
      entries[at] = each.entries;
    });
  });
  return { layers, pages: pages.length, forms, entries, bytes: kvBytes(pages), formsRefused };
}

/** Calls `onKv` whenever the forms of a sequence's pages have changed. */
export class KvWatch {
  #told: readonly CachePage[] = [];
  #toldRefused = false;

  constructor(private readonly onKv: (map: KvMap) => void) {}

  look(pages: readonly CachePage[], formsRefused = false): void {
    // Changed pages are new objects.
    const isKnown = pages.length === this.#told.length && pages.every((page, i) => page === this.#told[i]);
    if (isKnown && formsRefused === this.#toldRefused) return;
    this.#told = [...pages];
    this.#toldRefused = formsRefused;
    this.onKv(kvMap(pages, formsRefused));
  }
}
