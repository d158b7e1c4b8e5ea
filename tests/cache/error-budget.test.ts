import { describe, expect, test } from 'vitest';
import {
  errorBudgetPolicy,
  type CachePolicy,
  type CacheView,
  type Probe,
  policyOf,
  sparsePolicy,
  withMemoryBudget,
} from '../../src/cache/policy.ts';
import {
  type CachePage,
  type Change,
  type FormLoss,
  LayerLosses,
  type LayerPage,
  type PageRun,
} from '../../src/cache/cache-page.ts';
import { kvBytes } from '../../src/cache/kv-cache.ts';
import { chooseEntries } from '../../src/cache/sparse-entries.ts';
import { PAGE_TOKENS, pageBytes } from '../../src/kernels/heads.ts';
import {
  type PageForm,
  pageUnits,
  type QuantizedForm,
  sparseUnits,
  UNIT_BYTES,
} from '../../src/kernels/formats/page-forms.ts';
import { Random } from '../support/random.ts';

const HEADS = { numKvHeads: 3, headDim: 64 };
const NEW: LayerPage = {
  form: 'f16',
  entries: PAGE_TOKENS,
  place: { offset: 0, units: pageUnits('f16', HEADS) },
};
const FORMS: readonly QuantizedForm[] = ['q8', 'q4', 'q3', 'k3v2'];
/** Squared change of an output of square 1 by each form. */
const CHANGES: Record<QuantizedForm, number> = { q8: 1e-5, q4: 1e-3, q3: 5e-3, k3v2: 2e-2 };
const QUERIES = 8;

const pagesOf = (count: number, layers = 1): CachePage[] =>
  Array.from({ length: count }, (_, i) => ({
    base: i * PAGE_TOKENS,
    layers: Array.from({ length: layers }, () => ({ ...NEW })),
  }));

function viewOf(
  pages: readonly CachePage[],
  residualShares: readonly number[],
  probed = new LayerLosses(),
  tokens = pages.length * PAGE_TOKENS,
): CacheView {
  const halfBytes = pageBytes(HEADS);
  const nextBytes = halfBytes * (pages[0]?.layers.length ?? 0);
  return {
    probed,
    residualShares,
    pages,
    tokens,
    upcoming: 1,
    keptPages: 1,
    contextLength: 4096,
    halfBytes,
    nextBytes,
    changingLayers: [...(pages[0]?.layers ?? []).keys()],
    formBytes: bytesOf,
  };
}

const placeOf = (units: number): LayerPage['place'] => ({ offset: 0, units });
const sparseBytes = (heads: number): number => sparseUnits(HEADS, heads) * UNIT_BYTES;
const bytesOf = (form: PageForm): number => (form === 'sparse' ? 0 : pageUnits(form, HEADS) * UNIT_BYTES);

/** What a policy decides before the next batch. */
interface Decided {
  pages: number;
  measured: readonly PageRun[];
  changes: readonly Change[];
  /** Bytes that entries of measured pages may take. */
  evicts: number | undefined;
  drops: number;
}

/** The entry that the model looks at most when it repeats the text, and one that later tokens looked at most, in all heads. */
const NEEDLE = { page: 5, entry: 7, share: 1 };
const SOUGHT = { page: 6, entry: 9, square: 1, share: 0.0123 };
/** Most of any other. */
const HAY = 0.02;

/** A text whose pages `policy` probes, changes and evicts. */
class Text {
  readonly pages: CachePage[] = [];
  readonly probed = new LayerLosses();
  readonly probes: number[] = [];
  readonly decisions: Decided[] = [];
  readonly #random = new Random(44);

  constructor(
    private readonly policy: CachePolicy,
    private readonly shares: readonly number[],
    private readonly changeOf: (layer: number, form: QuantizedForm) => number = (_, form) => CHANGES[form],
  ) {}

  /** Another full page, or several. */
  grow(count = 1): this {
    for (const page of pagesOf(count, this.shares.length))
      this.pages.push({ ...page, base: this.pages.length * PAGE_TOKENS });
    const { policy } = this;
    const view = viewOf(this.pages, this.shares, this.probed);
    const measured: PageRun[] = [];
    for (let run = policy.measures?.(view); run; run = policy.measures?.(view)) {
      measured.push(run);
      this.#measure(run);
    }
    const probe = policy.probes?.(view);
    if (probe) this.#find(probe);
    const sparse = policy.sparse?.(view);
    const changes = policy.changes?.(view) ?? [];
    for (const { page, layer, form } of changes) {
      if (sparse && page >= sparse.first && page < sparse.first + sparse.count) continue;
      const { slots, squares } = this.pages[page]?.layers[layer] as LayerPage;
      const known = { ...(slots && { slots }), ...(squares && { squares }) };
      this.#set(page, layer, { ...NEW, form, place: placeOf(pageUnits(form, HEADS)), ...known });
    }
    if (sparse) this.#evict(sparse);
    const drops = policy.drops?.(viewOf(this.pages, this.shares, this.probed)) ?? 0;
    this.decisions.push({ pages: this.pages.length, measured, changes, evicts: sparse?.bytes, drops });
    this.pages.splice(1, drops);
    return this;
  }

  #set(page: number, layer: number, now: LayerPage): void {
    const old = this.pages[page] as CachePage;
    this.pages[page] = { ...old, layers: old.layers.with(layer, now) };
  }

  #measure({ first, count }: PageRun): void {
    const isThat = (that: { page: number; entry: number }, page: number, entry: number): boolean =>
      that.page === page && that.entry === entry;
    const shareOf = (page: number, entry: number): number => {
      if (isThat(SOUGHT, page, entry)) return SOUGHT.share;
      return isThat(NEEDLE, page, entry) ? NEEDLE.share : HAY * this.#random.next();
    };
    const squareOf = (page: number, entry: number): number =>
      isThat(SOUGHT, page, entry) ? SOUGHT.square : (HAY * this.#random.next()) ** 2;
    const entriesOf = (of: (entry: number) => number) =>
      Float32Array.from({ length: PAGE_TOKENS }, (_, entry) => of(entry));
    for (let page = first; page < first + count; page++) {
      for (const [layer, now] of (this.pages[page] as CachePage).layers.entries()) {
        const heads = Array.from({ length: HEADS.numKvHeads }, () => page);
        const slots = heads.map(() => ({ from: 0, shares: entriesOf((entry) => shareOf(page, entry)) }));
        const squares = heads.map(() => entriesOf((entry) => squareOf(page, entry)));
        this.#set(page, layer, { ...now, slots, squares });
      }
    }
  }

  #evict({ first, count, bytes }: PageRun & { bytes: number }): void {
    const layers = [...this.shares.keys()];
    const measured = { pages: this.pages, first, end: first + count, layers, headBytes: () => sparseBytes(1) };
    for (const [layer, contents] of chooseEntries(measured, bytes)) {
      for (const { page, heads } of contents) {
        const slots = heads.map((own) => own && { from: 0, shares: Float32Array.from(own, ({ share }) => share) });
        const place = placeOf(sparseUnits(HEADS, slots.filter((slot) => slot !== undefined).length));
        const squares = heads.map((own) => own && Float32Array.from(own, ({ square }) => square));
        this.#set(page, layer, { form: 'sparse', entries: 0, place, slots, squares });
      }
    }
  }

  /** Bytes with the next page. */
  get bytes(): number {
    return kvBytes(this.pages) + this.shares.length * pageBytes(HEADS);
  }

  #find(probe: Probe): void {
    this.probes.push(this.pages.length);
    const losses = this.shares.flatMap((_, layer) =>
      probe.forms.map((form): FormLoss => {
        const change = this.changeOf(layer, form) * QUERIES;
        return { layer, form, change, size: QUERIES, queries: QUERIES, bytes: bytesOf(form) };
      }),
    );
    this.probed.add(losses, this.pages.length);
  }

  growTo(count: number): this {
    while (this.pages.length < count) this.grow();
    return this;
  }

  formsOf(layer: number): string[] {
    return this.pages.map(({ layers }) => layers[layer]?.form ?? '');
  }

  /** Form of the old pages of each layer, which all have the same. */
  get decided(): string[] {
    return this.shares.map((_, layer) => {
      const forms = [...new Set(this.formsOf(layer).slice(1, -2))];
      expect(forms).toHaveLength(1);
      return forms[0] as string;
    });
  }
}

describe('before the last probe', () => {
  test('full pages rest in q8, or in f16 if even q8 loses too much; a budget of 0 probes and changes nothing', () => {
    expect(new Text(errorBudgetPolicy(0.01), [1, 1]).growTo(12).formsOf(1)).toEqual(Array<string>(12).fill('q8'));
    expect(new Text(errorBudgetPolicy(1e-5), [1, 1]).growTo(12).formsOf(1)).toEqual(Array<string>(12).fill('f16'));
    const dense = new Text(errorBudgetPolicy(0), [1]).growTo(40);
    expect([dense.probes, dense.decided]).toEqual([[], ['f16']]);
  });

  test('a partial page stays in f16, and so do the first and latest pages alone', () => {
    const changesOf = (tokens: number) =>
      errorBudgetPolicy(0.01).changes?.(viewOf(pagesOf(4), [1], new LayerLosses(), tokens)) ?? [];
    expect(changesOf(3 * PAGE_TOKENS + 5).map(({ page, form }) => [page, form])).toEqual([
      [0, 'q8'],
      [1, 'q8'],
      [2, 'q8'],
    ]);
    expect(changesOf(3 * PAGE_TOKENS - 1)).toEqual([]);
  });

  test('layers are probed at 8, 12 and 16 pages or at the next step, q8 before pages rest in it; only old pages are probed', () => {
    expect(new Text(errorBudgetPolicy(0.01), [1]).growTo(60).probes).toEqual([3, 8, 12, 16]);
    expect(new Text(errorBudgetPolicy(0.01), [1]).grow(7).growTo(30).probes).toEqual([7, 8, 12, 16]);
    expect(new Text(errorBudgetPolicy(0.01), [1]).grow(6).grow(7).grow(1).grow(3).grow(30).probes).toEqual([6, 13, 17]);
    expect(new Text(errorBudgetPolicy(0.01), [1]).grow(40).grow().probes).toEqual([40]);
    const formsAt = (pages: CachePage[], probed?: LayerLosses) =>
      errorBudgetPolicy(0.01).probes?.(viewOf(pages, [1], probed));
    const as = (form: PageForm, at: number) =>
      pagesOf(9).with(at, { base: at * PAGE_TOKENS, layers: [{ ...NEW, form }] });
    expect(formsAt(pagesOf(9))).toEqual({ pages: [1, 2, 3, 4, 5, 6, 7], forms: FORMS });
    expect(errorBudgetPolicy(0.01).probes?.(viewOf(pagesOf(9), [1], undefined, 8 * PAGE_TOKENS + 3))?.pages).toEqual([
      1, 2, 3, 4, 5, 6,
    ]);
    expect(formsAt(pagesOf(4))).toEqual({ pages: [1, 2], forms: ['q8'] });
    expect(formsAt(pagesOf(2))).toBeUndefined();
    // The loss of q8 is no longer known once pages rest in it.
    expect(formsAt(as('q8', 3))?.forms).toEqual(['q4', 'q3', 'k3v2']);
    expect(formsAt(as('q4', 3))).toBeUndefined();
    expect(new Text(errorBudgetPolicy(0.01), [1]).growTo(5).probed.changeOf(0, 'q8')).toBeCloseTo(CHANGES.q8, 12);
  });
});

describe('forms of layers', () => {
  test('a layer with a smaller share of the residual stream takes a smaller form; the first page and the last full one stay in q8', () => {
    const text = new Text(errorBudgetPolicy(0.01), [0.1, 1, 100]).growTo(40);
    expect(text.decided).toEqual(['k3v2', 'q3', 'q8']);
    for (const layer of [0, 1, 2]) expect([text.formsOf(layer)[0], text.formsOf(layer).at(-1)]).toEqual(['q8', 'q8']);
  });

  test('bytes are minimal within the loss budget, up to one step', () => {
    const random = new Random(62);
    const shares = Array.from({ length: 5 }, () => 4 ** (2 * random.next() - 1));
    const loss = 0.02;
    const { decided } = new Text(errorBudgetPolicy(loss), shares).growTo(20);
    const lossOf = (forms: readonly PageForm[]): number =>
      forms.reduce(
        (sum, form, layer) => sum + (shares[layer] ?? NaN) * (form === 'q8' ? 0 : CHANGES[form as QuantizedForm]),
        0,
      );
    const sizeOf = (forms: readonly PageForm[]): number => forms.reduce((sum, form) => sum + bytesOf(form), 0);
    const best = Array.from({ length: FORMS.length ** shares.length }, (_, i) =>
      shares.map((__, layer) => FORMS[Math.floor(i / FORMS.length ** layer) % FORMS.length] as PageForm),
    )
      .filter((forms) => lossOf(forms) <= loss)
      .reduce((least, forms) => (sizeOf(forms) < sizeOf(least) ? forms : least));
    expect(lossOf(decided as PageForm[])).toBeLessThanOrEqual(loss);
    expect(sizeOf(decided as PageForm[]) - sizeOf(best)).toBeLessThan(bytesOf('q8') - bytesOf('q4'));
  });

  test('a larger loss budget saves more bytes', () => {
    const sizes = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1].map((loss) => {
      const { pages } = new Text(errorBudgetPolicy(loss), [0.3, 1, 3]).growTo(30);
      return pages
        .flatMap(({ layers }) => layers.map(({ form }) => bytesOf(form)))
        .reduce((sum, bytes) => sum + bytes, 0);
    });
    expect(sizes).toEqual([...sizes].sort((a, b) => b - a));
    expect(new Set(sizes).size).toBe(sizes.length);
  });

  test('the mean of all probes decides, not the last one; NaN losses are never chosen', () => {
    let probe = 0;
    const text = new Text(
      errorBudgetPolicy(0.01),
      [1],
      (_, form) => CHANGES[form] * (form === 'q4' && probe++ < 2 ? 100 : 1e-3),
    ).growTo(30);
    expect(text.decided).toEqual(['k3v2']);
    expect(text.probed.changeOf(0, 'q4')).toBeCloseTo(((2 * 100 + 1e-3) * 1e-3) / 3, 6);
    expect(new Text(errorBudgetPolicy(0.01), [1], () => NaN).growTo(30).decided).toEqual(['q8']);
    expect(new Text(errorBudgetPolicy(0.01), [NaN]).growTo(30).decided).toEqual(['q8']);
  });
});

test("a layer's error combines those of its pages", () => {
  const { probed } = new Text(errorBudgetPolicy(0.01), [1]).growTo(16);
  expect(probed.errorOf(0, new Map())).toBe(0);
  expect(
    probed.errorOf(
      0,
      new Map([
        ['q4', 0.5],
        ['q3', 0.25],
      ]),
    ),
  ).toBeCloseTo(Math.sqrt(0.5 * 1e-3 + 0.25 * 5e-3), 10);
});

test('a memory budget with priority forces changes that the policy would not make', () => {
  const changesOf = (pages: CachePage[], policy: CachePolicy) =>
    withMemoryBudget(policy, 1, true)
      .changes?.(viewOf(pages, [1]))
      .map(({ page, form, forced = false }) => [page, form, forced]);
  const pages = pagesOf(4);
  expect(changesOf(pages, errorBudgetPolicy(0.01))).toEqual([
    [0, 'q8', false],
    [3, 'q8', false],
    [1, 'q4', true],
    [2, 'q4', true],
  ]);
  expect(changesOf(pages, errorBudgetPolicy(0))).toEqual([
    [1, 'q4', true],
    [2, 'q4', true],
    [0, 'q8', true],
    [3, 'q8', true],
  ]);
});

describe('a memory budget with priority', () => {
  const SHARES = [0.3, 1];
  /** Eight pages in f16. Pages fit in q4 up to some 23 of them, in k3v2 up to some 35. */
  const BUDGET = 8 * SHARES.length * pageBytes(HEADS);
  const budgeted = policyOf({ kv: 'policy', kvMemoryBudget: BUDGET, kvPriority: 'memory' });
  const dropping = withMemoryBudget(policyOf({ kv: 'policy' }), BUDGET, true);
  const textOf = (policy: CachePolicy): Text => new Text(policy, SHARES);

  test('decides above the floor as one that drops the oldest pages', () => {
    const [text, control] = [textOf(budgeted).growTo(20), textOf(dropping).growTo(20)];
    expect(text.decisions).toEqual(control.decisions);
    expect(text.probes).toEqual(control.probes);
    expect(text.decisions.some(({ changes }) => changes.some(({ forced }) => forced))).toBe(true);
    expect(text.decisions.some(({ drops, measured }) => drops > 0 || measured.length > 0)).toBe(false);
    expect(text.formsOf(0).slice(1, -2)).not.toContain('k3v2');
  });

  test.each([
    ['policy', budgeted],
    ['sparse', sparsePolicy(BUDGET)],
  ])(
    'below the floor evicts entries and no page; the largest share, the largest square and the latest stay: %s',
    (_, policy) => {
      const text = textOf(policy);
      while (text.pages.length < 80) expect(text.grow().bytes).toBeLessThanOrEqual(BUDGET);
      expect(text.decisions.every(({ drops }) => drops === 0)).toBe(true);
      // Nothing is measured or evicted as long as k3v2 is enough.
      const first = text.decisions.findIndex(({ evicts }) => evicts !== undefined);
      expect(text.decisions[first - 1]?.pages).toBeGreaterThan(30);
      expect(text.decisions.findIndex(({ measured }) => measured.length > 0)).toBe(first);
      const held = text.pages.flatMap(({ layers }) => layers.map(({ slots }) => slots ?? []));
      for (const { share } of [NEEDLE, SOUGHT]) {
        const found = held.flatMap((slots) => slots.filter((slot) => slot?.shares.includes(Math.fround(share))));
        expect(found).toHaveLength(SHARES.length * HEADS.numKvHeads);
      }
      expect(text.bytes).toBeGreaterThan(0.8 * BUDGET);
      const control = textOf(dropping);
      while (control.decisions.length < 60) control.grow();
      expect(control.decisions.some(({ drops }) => drops > 0)).toBe(true);
    },
  );

  test('that leaves room for no entry drops the oldest pages unmeasured', () => {
    const bytes = 2.5 * SHARES.length * pageBytes(HEADS);
    const text = textOf(policyOf({ kv: 'policy', kvMemoryBudget: bytes }));
    for (let i = 0; i < 40; i++) expect(text.grow().bytes).toBeLessThanOrEqual(bytes);
    expect(text.decisions.some(({ measured }) => measured.length > 0)).toBe(false);
    expect(text.decisions.some(({ drops }) => drops > 0)).toBe(true);
  });

  test('drops the oldest pages where nothing can be measured', () => {
    const [text, control] = [textOf(budgeted.unmeasured as CachePolicy), textOf(dropping)];
    for (let i = 0; i < 60; i++) [text, control].forEach((each) => each.grow());
    expect(text.decisions).toEqual(control.decisions);
    expect(text.decisions.some(({ drops }) => drops > 0)).toBe(true);
    expect(budgeted.key).toBe(dropping.key);
  });

  test('computes prompts in batches of half the budget, and of a quarter once q4 has no room beside them', () => {
    const sizes = [12, 20, 60].map((pages) =>
      budgeted.batchTokens?.(viewOf(textOf(budgeted).growTo(pages).pages, SHARES)),
    );
    expect(sizes).toEqual([4, 2, 2].map((pages) => pages * PAGE_TOKENS));
  });

  test('without priority evicts nothing', () => {
    const text = textOf(policyOf({ kv: 'policy', kvMemoryBudget: BUDGET, kvPriority: 'error' })).growTo(60);
    expect(text.decisions.some(({ drops, evicts }) => drops > 0 || evicts !== undefined)).toBe(false);
    expect(text.bytes).toBeGreaterThan(BUDGET);
  });
});
