import { modelName } from '../basics/format.ts';
import { canRun, type Fit } from './device-fit.ts';
import type { HubFacts } from './hub-listing.ts';
import { fileOf, type ListedModel } from './models.ts';

/** A model of the page's list, and what is known of it on this device. */
export interface Choice {
  model: ListedModel;
  /** What opens it: its id, or where it was opened from before. */
  address: string;
  isHere: boolean;
  /** As the hub listed it last. */
  facts: HubFacts | undefined;
  /** Of its file: as the hub listed it last, or as the page knows it. */
  bytes: number;
  fit: Fit;
}

/** What may be opened, newest first, those without a date behind; then what cannot run here. */
export function inOrder<C extends Choice>(choices: readonly C[]): C[] {
  const place = ({ fit }: Choice): number => (canRun(fit) ? 0 : 1);
  const date = ({ facts }: Choice): number => facts?.created ?? -Infinity;
  return [...choices].sort((a, b) => place(a) - place(b) || (date(a) === date(b) ? 0 : date(b) - date(a)));
}

/**
 * The model closest to the one at `failed` that could not be opened, by their names: of those not larger, or smaller where
 * it `isTooLarge`, one of its family, then the largest. Without a size in its name, or where all are larger, the smallest.
 */
export function closestTo(failed: string, choices: readonly Choice[], isTooLarge: boolean): Choice | undefined {
  const name = modelName(failed);
  const size = parametersOf(name);
  const others = choices.filter(({ model, fit }) => fileOf(model.id) !== fileOf(failed) && canRun(fit));
  const below = others.filter(({ model }) => {
    const own = parametersOf(model.name) ?? Infinity;
    return size !== undefined && (isTooLarge ? own < size : own <= size);
  });
  if (below.length === 0 && isTooLarge && size !== undefined) return undefined;
  const largest = below.length > 0 ? 1 : -1;
  const rank = ({ model }: Choice): [kin: number, size: number] => [
    kinship(name, model.name),
    largest * (parametersOf(model.name) ?? 0),
  ];
  return [...(below.length > 0 ? below : others)].sort((a, b) => {
    const [[kinA, sizeA], [kinB, sizeB]] = [rank(a), rank(b)];
    return kinB - kinA || sizeB - sizeA;
  })[0];
}

/** Parameters as a name tells them: `135M`, `1.7B`, `8x7B` (of a mixture all), `E2B`. */
export function parametersOf(name: string): number | undefined {
  const [, experts = '1', count, unit] =
    /(?:^|[-_ ./:])(?:(\d+)x|e)?(\d+(?:\.\d+)?)([bm])(?=[-_ ./:]|$)/i.exec(name) ?? [];
  if (count === undefined || unit === undefined) return undefined;
  return Number(experts) * Number(count) * (unit.toLowerCase() === 'b' ? 1e9 : 1e6);
}

/** 2: of the same family, as `Qwen3 0.6B` of a file of Qwen3's; 1: of another version of it; 0: of others. */
function kinship(name: string, listed: string): number {
  const [, series = '', version = ''] = /^([a-z]+)\s*([\d.]*)\s/i.exec(listed) ?? [];
  if (!new RegExp(series, 'i').test(name)) return 0;
  return new RegExp(`${series}[-_ ]?${version.replace('.', '\\.')}(?![\\dbm]|\\.\\d)`, 'i').test(name) ? 2 : 1;
}
