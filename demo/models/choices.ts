import { modelName } from '../basics/format.ts';
import { canRun, type Fit } from './device-fit.ts';
import type { HubFacts } from './hub-listing.ts';
import { fileOf, type ListedModel } from './models.ts';

/** A model of the page's list, with its state on this device. */
export interface Choice {
  model: ListedModel;
  /** Its id, or the address that it was opened from. */
  address: string;
  isHere: boolean;
  /** The hub's latest entry. */
  facts: HubFacts | undefined;
  /** Size of its file, from the hub or from the page's list. */
  bytes: number;
  fit: Fit;
}

/** Models that can run, newest first and those without a date last; then models that cannot. */
export function inOrder<C extends Choice>(choices: readonly C[]): C[] {
  const place = ({ fit }: Choice): number => (canRun(fit) ? 0 : 1);
  const date = ({ facts }: Choice): number => facts?.created ?? -Infinity;
  return [...choices].sort((a, b) => place(a) - place(b) || (date(a) === date(b) ? 0 : date(b) - date(a)));
}

/**
 * The model whose name is closest to `failed`, which could not be opened: not larger, or smaller if `isTooLarge`; first
 * by family, then the largest. Without a size in the name, or if all are larger, the smallest.
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

/** Number of parameters in a name: `135M`, `1.7B`, `8x7B` (all experts), `E2B`. */
export function parametersOf(name: string): number | undefined {
  const [, experts = '1', count, unit] =
    /(?:^|[-_ ./:])(?:(\d+)x|e)?(\d+(?:\.\d+)?)([bm])(?=[-_ ./:]|$)/i.exec(name) ?? [];
  if (count === undefined || unit === undefined) return undefined;
  return Number(experts) * Number(count) * (unit.toLowerCase() === 'b' ? 1e9 : 1e6);
}

/** 2: same family and version, such as `Qwen3 0.6B` for a Qwen3 file; 1: same family; 0: neither. */
function kinship(name: string, listed: string): number {
  const [, series = '', version = ''] = /^([a-z]+)\s*([\d.]*)\s/i.exec(listed) ?? [];
  if (!new RegExp(series, 'i').test(name)) return 0;
  return new RegExp(`${series}[-_ ]?${version.replace('.', '\\.')}(?![\\dbm]|\\.\\d)`, 'i').test(name) ? 2 : 1;
}
