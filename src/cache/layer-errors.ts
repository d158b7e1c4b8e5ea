import type { PageForm } from '../kernels/formats/page-forms.ts';
import type { Trial } from './cache-page.ts';

/** What a form did to a layer in trials of its pages. */
export interface FormErrors {
  layer: number;
  form: PageForm;
  /** Of the errors, each times the pages there were by then, the sum of the squares; and how many. */
  squares: number;
  /** The same of each head; `squares` is of the largest one of each page. */
  headSquares: readonly number[];
  count: number;
  /** Of a page in this form. */
  bytes: number;
}

/**
 * A page is probed right behind the recent ones. Later it has less of the attention than the number of pages says: on prose
 * the true errors of the median layer (`npm run bench -- kv-perplexity` with CHUNKWISE_SHADOW) were 0.26 to 0.44 of what this gave.
 */
const LATER = 0.5;

/** What forms cost in each layer, by the pages of a sequence that were probed so far. */
export class LayerErrors {
  readonly #found = new Map<string, FormErrors>();
  readonly #layers = new Set<number>();

  constructor(found: readonly FormErrors[] = []) {
    for (const each of found) this.#keep({ ...each });
  }

  get found(): FormErrors[] {
    return [...this.#found.values()];
  }

  /** `numPages`: of the sequence when it was probed. */
  add({ layer, form, error, headErrors, bytes }: Trial, numPages: number): void {
    const before = this.#found.get(keyOf(layer, form)) ?? { squares: 0, headSquares: [], count: 0 };
    this.#keep({
      ...{ layer, form, bytes, count: before.count + 1 },
      squares: before.squares + (error * numPages) ** 2,
      headSquares: headErrors.map((of, head) => (before.headSquares[head] ?? 0) + (of * numPages) ** 2),
    });
  }

  has(layer: number): boolean {
    return this.#layers.has(layer);
  }

  /**
   * Of one of `numPages` pages in this form: the error, root mean square over the layer's probed pages, each times the
   * pages there were by then, since a page's part of attention falls as others come; and its bytes. NaN where none was probed.
   */
  of(layer: number, form: PageForm, numPages: number): { error: number; bytes: number } {
    const { squares = NaN, count = 1, bytes = NaN } = this.#found.get(keyOf(layer, form)) ?? {};
    return { error: Math.sqrt(squares / count) / numPages, bytes };
  }

  /** Of a layer with so many of its `numPages` pages in each of these forms: the error of all together, of the head that it is largest of. */
  ofLayer(layer: number, counts: ReadonlyMap<PageForm, number>, numPages: number): number {
    const squares: number[] = [];
    for (const [form, pages] of counts) {
      const { headSquares = [], count = 1 } = this.#found.get(keyOf(layer, form)) ?? {};
      headSquares.forEach((of, head) => (squares[head] = (squares[head] ?? 0) + (pages * of) / count));
    }
    return (LATER * Math.sqrt(Math.max(0, ...squares))) / Math.max(1, numPages);
  }

  #keep(errors: FormErrors): void {
    this.#found.set(keyOf(errors.layer, errors.form), errors);
    this.#layers.add(errors.layer);
  }
}

const keyOf = (layer: number, form: PageForm): string => `${layer} ${form}`;
