import { PAGE_TOKENS } from '../kernels/heads.ts';
import { PAGE_FORMS, type PageForm, UNIT_BYTES } from '../kernels/formats/page-forms.ts';
import { type CachePage, isGivenBack } from './cache-page.ts';
import { stateUnits, type TextState } from './text-states.ts';
import type { LayerLosses } from './layer-losses.ts';

/** How the keys and values of one sequence lie. */
export interface KvReport {
  /** Of a layer each; those that a layer with a window gave back are not counted. */
  pages: Record<PageForm, number>;
  bytes: Record<PageForm, number>;
  /** Most bytes that they had during the request, in all. */
  peakBytes: number;
  /** Of each layer: how far its pages' forms are estimated to move its attention output, relative L2. */
  layerErrors: number[];
  /** The same, as measured by the latest queries over all pages at once; where `kvShadow` asked for it. */
  shadowErrors?: number[];
  /** Tokens, of a layer each, that share an entry with others. */
  mergedTokens: number;
  /** Tokens given up, in all layers, to make room: the text went on past its context or its memory. */
  droppedTokens: number;
  /** The memory budget changed or gave up pages without regard to the error budget. */
  memoryOverrode: boolean;
  /** Smaller forms were asked for, but this device computes them wrong: all pages stay in f16. */
  formsRefused: boolean;
}

/** A sequence as the report sees it. */
interface CachedText {
  pages: readonly CachePage[];
  dropped: number;
  memoryOverrode: boolean;
  peakKvBytes: number;
  probed: LayerLosses;
}

export function kvReport(
  { pages, dropped, memoryOverrode, peakKvBytes: peakBytes, probed }: CachedText,
  formsRefused: boolean,
): KvReport {
  const zeros = (): Record<PageForm, number> =>
    Object.fromEntries(PAGE_FORMS.map((form) => [form, 0])) as Record<PageForm, number>;
  const counts = (pages[0]?.layers ?? []).map(() => new Map<PageForm, number>());
  const report = {
    ...{ pages: zeros(), bytes: zeros(), peakBytes, layerErrors: [] as number[] },
    ...{ mergedTokens: 0, droppedTokens: dropped, memoryOverrode, formsRefused },
  };
  for (const { layers } of pages) {
    layers.forEach((page, layer) => {
      if (isGivenBack(page)) return;
      const { form, entries, place } = page;
      report.pages[form]++;
      report.bytes[form] += place.units * UNIT_BYTES;
      if (form === 'sparse') report.mergedTokens += PAGE_TOKENS - entries;
      if (form !== 'f16') counts[layer]?.set(form, (counts[layer].get(form) ?? 0) + 1);
    });
  }
  report.layerErrors = counts.map((ofForms, layer) =>
    probed.errorOf(layer, new Map([...ofForms].map(([form, count]) => [form, count / pages.length]))),
  );
  return report;
}

/** Of all pages, in all layers, and of states. */
export const kvBytes = (pages: readonly CachePage[], states: readonly TextState[] = []): number =>
  (pages.reduce((sum, { layers }) => sum + layers.reduce((units, { place }) => units + place.units, 0), 0) +
    stateUnits(states)) *
  UNIT_BYTES;

/** Every page lies in f16, in all layers. */
export const allHalf = (pages: readonly CachePage[]): boolean =>
  pages.every(({ layers }) => layers.every(({ form }) => form === 'f16'));
