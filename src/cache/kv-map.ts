import { PAGE_FORMS } from '../kernels/formats/page-forms.ts';
import type { CachePage } from './cache-page.ts';
import { kvBytes } from './kv-report.ts';

/** In which form each page of a text lies in each layer. */
export interface KvMap {
  layers: number;
  pages: number;
  /** `[layers, pages]`: indices of `PAGE_FORMS`. */
  forms: Uint8Array;
  /** `[layers, pages]`: of a sparse page those it was merged into, of others a page's tokens; 0 of one that a layer with a window gave back. */
  entries: Uint8Array;
  /** Of all of them. */
  bytes: number;
  /** Smaller forms were asked for, but this device computes them wrong: all pages stay in f16. */
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

/** Tells how the pages of a sequence lie, each time that has changed. */
export class KvWatch {
  #told: readonly CachePage[] = [];
  #toldRefused = false;

  constructor(private readonly onKv: (map: KvMap) => void) {}

  look(pages: readonly CachePage[], formsRefused = false): void {
    // A page that changes becomes another object.
    const isKnown = pages.length === this.#told.length && pages.every((page, i) => page === this.#told[i]);
    if (isKnown && formsRefused === this.#toldRefused) return;
    this.#told = [...pages];
    this.#toldRefused = formsRefused;
    this.onKv(kvMap(pages, formsRefused));
  }
}
