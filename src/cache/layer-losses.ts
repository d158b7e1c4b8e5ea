import type { PageForm } from '../kernels/formats/page-forms.ts';

/** What a form did to the attention output of a layer, with all of its probed pages in that form at once. */
export interface FormLoss {
  layer: number;
  form: PageForm;
  /** Squares of what the output changed by, and of the output, summed over heads and queries. */
  change: number;
  size: number;
  queries: number;
  /** Of a page in this form. */
  bytes: number;
}

/** What forms cost in each layer, by the probes of a sequence so far. */
export class LayerLosses {
  readonly #found = new Map<string, FormLoss>();

  /** `pages`: of the sequence when it was probed last; 0 before. */
  constructor(
    found: readonly FormLoss[] = [],
    public pages = 0,
  ) {
    for (const each of found) this.#found.set(keyOf(each), each);
  }

  get found(): FormLoss[] {
    return [...this.#found.values()];
  }

  add(probed: readonly FormLoss[], pages: number): void {
    this.pages = pages;
    for (const each of probed) {
      const { change = 0, size = 0, queries = 0 } = this.#found.get(keyOf(each)) ?? {};
      this.#found.set(keyOf(each), {
        ...each,
        change: each.change + change,
        size: each.size + size,
        queries: each.queries + queries,
      });
    }
  }

  /** Of a layer with its pages in this form: the mean square of the change a query sees. NaN where none was probed. */
  changeOf(layer: number, form: PageForm): number {
    const { change = NaN, queries = NaN } = this.#found.get(keyOf({ layer, form })) ?? {};
    return change / queries;
  }

  /** Of a page; NaN where none was probed. */
  bytesOf(layer: number, form: PageForm): number {
    return this.#found.get(keyOf({ layer, form }))?.bytes ?? NaN;
  }

  /** Of a layer with these shares of its pages in these forms: how far its attention output is moved, relative L2. */
  errorOf(layer: number, shares: ReadonlyMap<PageForm, number>): number {
    let square = 0;
    for (const [form, share] of shares) {
      const { change = 0, size = 1 } = this.#found.get(keyOf({ layer, form })) ?? {};
      square += (share * change) / size;
    }
    return Math.sqrt(square);
  }
}

const keyOf = ({ layer, form }: Pick<FormLoss, 'layer' | 'form'>): string => `${layer} ${form}`;
