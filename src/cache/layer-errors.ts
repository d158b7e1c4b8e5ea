import type { PageForm } from '../kernels/page-forms.ts';
import type { Trial } from './cache-page.ts';

/** What a form did to a layer in trials of its pages. */
export interface FormErrors {
  layer: number;
  form: PageForm;
  /** Of the errors, each times the pages there were by then, the sum of the squares; and how many. */
  squares: number;
  count: number;
  /** Of a page in this form. */
  bytes: number;
}

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
  add({ layer, form, error, bytes }: Trial, numPages: number): void {
    const before = this.#found.get(keyOf(layer, form)) ?? { layer, form, squares: 0, count: 0, bytes };
    this.#keep({ ...before, squares: before.squares + (error * numPages) ** 2, count: before.count + 1 });
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

  #keep(errors: FormErrors): void {
    this.#found.set(keyOf(errors.layer, errors.form), errors);
    this.#layers.add(errors.layer);
  }
}

const keyOf = (layer: number, form: PageForm): string => `${layer} ${form}`;
