import {
  broughtFloats,
  hasState,
  headDimOfLayer,
  isConvolved,
  type ModelConfig,
  stateBytes,
} from '../config/model-config.ts';
import {
  type PageForm,
  pageUnits,
  type QuantizedForm,
  sparseUnits,
  UNIT_BYTES,
} from '../kernels/formats/page-forms.ts';
import { PAGE_TOKENS } from '../kernels/heads.ts';

/** Part of a buffer, in units of UNIT_BYTES. */
export interface Place {
  offset: number;
  readonly units: number;
}

/** Bytes of a measure of an entry: its share of attention, or the mean of squared shares. */
export const MEASURE_BYTES = 4;

/** Entries of a head in a page of one layer. */
export interface Slot {
  /** Distance of the base that its keys are rotated from and the page's. */
  readonly from: number;
  /** For each entry the largest share of attention that it had when the model repeated its chunk. */
  readonly shares: Float32Array<ArrayBuffer>;
}

/** One layer's part of a KV cache page. */
export interface LayerPage {
  readonly form: PageForm;
  /** Entries: PAGE_TOKENS, or 0 if the layer freed it; of a sparse page the most that a head has. */
  readonly entries: number;
  readonly place: Place;
  /** Entries of each head; known of sparse pages, and of whole ones once their shares are measured. */
  readonly slots?: readonly (Slot | undefined)[];
  /**
   * For each head and entry the squared share of attention that later queries of a prompt gave it, summed over the head's query
   * heads: a mean in which the latest count more. Undefined before any is measured, and for a head without entries.
   */
  readonly squares?: readonly (Float32Array<ArrayBuffer> | undefined)[];
  /** The f16 page that this one was written from, kept to measure the true error. */
  shadow?: LayerPage;
}

/** A page of a sliding-window layer that the window has passed; its memory is freed. */
export const freedPage = (): LayerPage => ({ form: 'f16', entries: 0, place: { offset: 0, units: 0 } });

export const isFreed = ({ form, entries }: Pick<LayerPage, 'form' | 'entries'>): boolean =>
  form === 'f16' && entries === 0;

/** A page's state without its place in memory. */
export type PageState = Omit<LayerPage, 'place' | 'slots' | 'squares'>;

/** The state of a saved page. */
export interface SavedPage extends PageState {
  /** Its slots without their shares, null for a head without entries. */
  readonly slots?: readonly (SavedSlot | null)[];
  /** Whether squared shares of its entries are known. */
  readonly squared?: boolean;
}

/** `entries`: their number. */
export interface SavedSlot extends Pick<Slot, 'from'> {
  readonly entries: number;
}

/** A KV cache page: PAGE_TOKENS consecutive tokens of a sequence, with a form per layer. */
export interface CachePage {
  /** Position of its first token. */
  readonly base: number;
  readonly layers: readonly LayerPage[];
  /** Heads evicted entries of its text, and have others of it in other pages. */
  readonly isSparse?: boolean;
}

/** Consecutive pages of a sequence. */
export interface PageRun {
  first: number;
  count: number;
}

/** Whether a layer keeps other entries in this page than those of its text. */
export const hasSparse = (layers: readonly PageState[]): boolean => layers.some(({ form }) => form === 'sparse');

/** Requests another form for one layer's page. */
export interface Change {
  /** Index among the sequence's pages. */
  page: number;
  layer: number;
  form: QuantizedForm;
  /** Forced by the memory budget, regardless of the error budget. */
  forced?: boolean;
}

/** One layer's page and its copy in another form. */
export interface Copy extends Change {
  from: LayerPage;
  to: LayerPage;
}

/** A probe of all layers, with its results once they are read. */
export interface PageProbe {
  /** Tokens and full pages of the sequence at the start of the probe. */
  began: number;
  pages: number;
  found?: readonly FormLoss[];
}

/** Change of a layer's attention output when all of its probed pages take a form at once. */
export interface FormLoss {
  layer: number;
  form: PageForm;
  /** Squared norm of the change and of the output, summed over heads and queries. */
  change: number;
  size: number;
  queries: number;
  /** Bytes of a page in this form. */
  bytes: number;
}

/** Losses of page forms by layer, from the probes of a sequence so far. */
export class LayerLosses {
  readonly #found = new Map<string, FormLoss>();

  /** `pages`: pages of the sequence at its last probe; 0 before. */
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

  /** Mean squared change per query of a layer with its pages in this form; NaN if not probed. */
  changeOf(layer: number, form: PageForm): number {
    const { change = NaN, queries = NaN } = this.#found.get(keyOf({ layer, form })) ?? {};
    return change / queries;
  }

  /** Bytes of a page in this form; NaN if not probed. */
  bytesOf(layer: number, form: PageForm): number {
    return this.#found.get(keyOf({ layer, form }))?.bytes ?? NaN;
  }

  /** Estimated relative L2 error of a layer's attention output, given the share of its pages in each form. */
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

type Sighted = Pick<ModelConfig, 'window' | 'convolution' | 'deltaNet'>;

/** Layers that see only the latest tokens, and how many: sliding-window attention or convolutions. No architecture has both. */
const recentTokens = ({ window, convolution }: Sighted): { tokens: number; layers: readonly number[] } | undefined =>
  window ?? (convolution && { tokens: convolution.taps, layers: convolution.layers });

/**
 * Layers without full attention: those that see only the latest tokens, whose f16 pages are freed once outside the window,
 * and those with a recurrent state instead of pages.
 */
export const slidingWindowLayers = (config: Sighted): readonly number[] =>
  config.deltaNet?.layers ?? recentTokens(config)?.layers ?? [];

/** The model's fields that determine page sizes. */
export type PageShape = Pick<
  ModelConfig,
  'numKvHeads' | 'headDim' | 'hiddenSize' | 'window' | 'convolution' | 'deltaNet'
>;

/**
 * Units of one layer's page: keys and values in a form, or a convolution's inputs `[PAGE_TOKENS, hiddenSize]` in f32, or a
 * sequence's recurrent state. The latter two are listed as form `f16`; a state with a tail has as many entries more.
 */
export function layerPageUnits(
  config: PageShape,
  layer: number,
  form: PageForm = 'f16',
  entries = PAGE_TOKENS,
): number {
  if (entries === 0 || form === 'sparse') return 0;
  if (isConvolved(config, layer)) return (entries * config.hiddenSize * 4) / UNIT_BYTES;
  if (config.deltaNet && hasState(config, layer))
    return (stateBytes(config.deltaNet) + 4 * (entries - PAGE_TOKENS) * broughtFloats(config.deltaNet)) / UNIT_BYTES;
  return pageUnits(form, { numKvHeads: config.numKvHeads, headDim: headDimOfLayer(config, layer) });
}

/** Units of one layer's sparse page that has entries of `heads` heads. */
export const sparsePageUnits = (config: PageShape, layer: number, heads: number): number =>
  sparseUnits({ numKvHeads: config.numKvHeads, headDim: headDimOfLayer(config, layer) }, heads);

/** Units of a saved page. */
export const savedPageUnits = (config: PageShape, layer: number, { form, entries, slots = [] }: SavedPage): number =>
  form === 'sparse'
    ? sparsePageUnits(config, layer, slots.filter(Boolean).length)
    : layerPageUnits(config, layer, form, entries);

/** Bytes of what is known of a saved page's entries: their shares, then squared shares. */
export function savedMeasureBytes({ slots, squared }: SavedPage, numKvHeads: number): number {
  const held = slots?.reduce((sum, slot) => sum + (slot?.entries ?? 0), 0);
  const withSquares = squared ? (held ?? numKvHeads * PAGE_TOKENS) : 0;
  return ((held ?? 0) + withSquares) * MEASURE_BYTES;
}

/** Tokens before the window whose pages are kept, so that a sequence can resume that far before its end. */
const KEPT_TOKENS = 2 * PAGE_TOKENS;

/** Full pages before the sliding window of a sequence with `tokens` tokens; their memory can be freed. The last token may not be computed yet. */
export function pagesBeforeWindow(config: Sighted, tokens: number): number {
  const sight = recentTokens(config);
  return sight ? Math.max(0, Math.floor((tokens - sight.tokens - KEPT_TOKENS) / PAGE_TOKENS)) : 0;
}

/** Most pages of a sequence in a sliding-window layer, if batches have at most `batchTokens` tokens. */
export function mostWindowPages(config: Sighted, batchTokens: number): number {
  const sight = recentTokens(config);
  return sight ? Math.ceil((sight.tokens + KEPT_TOKENS + PAGE_TOKENS - 1 + batchTokens) / PAGE_TOKENS) : Infinity;
}

/** Number of pages, of `[page][layer]`, not freed in sliding-window layers; 0 without such layers. */
export function countWindowPages(config: Sighted, pages: readonly (readonly PageState[])[]): number {
  const [layer] = slidingWindowLayers(config);
  return layer === undefined ? 0 : pages.filter((states) => !isFreed(states[layer] as PageState)).length;
}

/** Whether a token can be added at `place`: the sliding-window layers still have all pages that it sees. */
export function isInWindow(config: Sighted, pages: readonly CachePage[], place: number): boolean {
  const sight = recentTokens(config);
  if (!sight || place === 0) return true;
  const layer = sight.layers[0] ?? 0;
  const missing = pages.findLastIndex(({ layers }) => layers[layer] && isFreed(layers[layer])) + 1;
  return Math.max(0, place + 1 - sight.tokens) >= missing * PAGE_TOKENS || missing === 0;
}

/** Tokens from `from` to the next span, computed with the adapters and plan that `key` identifies. */
export interface AdaptedSpan {
  from: number;
  key: string;
}

/** Spans of a text without adapters. A text's first span starts at 0; neighbouring spans have different keys. */
export const BASE_SPANS: readonly AdaptedSpan[] = [{ from: 0, key: '' }];

/** Number of first tokens that two texts with equal tokens compute with the same adapters; Infinity if the spans are equal. */
export function sameAdaptersUntil(a: readonly AdaptedSpan[], b: readonly AdaptedSpan[]): number {
  const differs = (_: unknown, i: number): boolean => a[i]?.from !== b[i]?.from || a[i]?.key !== b[i]?.key;
  const at = (a.length > b.length ? a : b).findIndex(differs);
  return at < 0 ? Infinity : Math.min(a[at]?.from ?? Infinity, b[at]?.from ?? Infinity);
}
