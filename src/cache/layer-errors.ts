import type { PageForm } from '../kernels/page-forms.ts';
import type { Trial } from './cache-page.ts';

/** What forms cost in each layer, by the pages of a sequence that were probed so far. */
export class LayerErrors {
  readonly #found = new Map<string, { squares: number; count: number; bytes: number }>();
  readonly #layers = new Set<number>();

  /** `numPages`: of the sequence when it was probed. */
  add({ layer, form, error, bytes }: Trial, numPages: number): void {
    const key = `${layer} ${form}`;
    const found = this.#found.get(key) ?? { squares: 0, count: 0, bytes };
    found.squares += (error * numPages) ** 2;
    found.count++;
    this.#found.set(key, found);
    this.#layers.add(layer);
  }

  has(layer: number): boolean {
    return this.#layers.has(layer);
  }

  /**
   * Of one of `numPages` pages in this form: the error, root mean square over the layer's probed pages, each times the
   * pages there were by then, since a page's part of attention falls as others come; and its bytes. NaN where none was probed.
   */
  of(layer: number, form: PageForm, numPages: number): { error: number; bytes: number } {
    const { squares = NaN, count = 1, bytes = NaN } = this.#found.get(`${layer} ${form}`) ?? {};
    return { error: Math.sqrt(squares / count) / numPages, bytes };
  }
}
