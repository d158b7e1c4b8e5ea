import type { PageForm, SmallerForm } from '../kernels/formats/page-forms.ts';
import type { FormLoss } from './layer-losses.ts';
import type { Place } from './page-space.ts';

/** A page of one layer. */
export interface LayerPage {
  readonly form: PageForm;
  /** All of its tokens, or of a sparse page some. */
  readonly entries: number;
  readonly place: Place;
  /** Its part of attention in its trials so far, summed. */
  mass: number;
  /** What it was written from, where that is kept to tell the true error. */
  shadow?: LayerPage;
}

/** A page of a layer whose window has passed it, whose memory was given back: nothing attends to it any more. */
export const givenBack = (): LayerPage => ({ form: 'f16', entries: 0, place: { offset: 0, units: 0 }, mass: 0 });

export const isGivenBack = ({ form, entries }: Pick<LayerPage, 'form' | 'entries'>): boolean =>
  form === 'f16' && entries === 0;

/** What is known of a page besides where it lies. */
export type PageState = Omit<LayerPage, 'place'>;

/** Consecutive tokens of a sequence: in each layer a page of its own form. */
export interface CachePage {
  /** Position of its first token. */
  readonly base: number;
  readonly layers: readonly LayerPage[];
}

/** A page of one layer that is to lie in another form from now on. */
export interface Change {
  /** Its place among the sequence's pages. */
  page: number;
  layer: number;
  form: SmallerForm;
  /** All tokens of a page; of `sparse`, to how many its entries are merged. */
  entries: number;
  /** For want of memory: the budget of error was not asked. */
  forced?: boolean;
}

/** A page of one layer with a copy in another form beside it. */
export interface Copy extends Change {
  from: LayerPage;
  to: LayerPage;
}

/** A change that was tried. */
export interface Trial extends Change {
  /** Of their attention what the latest queries give the page, mean over them and the heads. */
  mass: number;
}

/** Copies of a sequence's pages in other forms, and once they are probed which of them are taken. */
export interface PageTrial {
  copies: readonly Copy[];
  /** Tokens of the text when it began. */
  began: number;
  taken?: ReadonlySet<Copy>;
}

/** A probe of all layers, and once it is read what it found. */
export interface PageProbe {
  /** Tokens of the text, and full pages of it in the cache, when it began. */
  began: number;
  pages: number;
  found?: readonly FormLoss[];
}
