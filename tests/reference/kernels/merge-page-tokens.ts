import { dot } from '../operations.ts';

/** An entry as stored in a page: its key is rotated from the page's base. */
export interface PageEntry {
  key: Float64Array;
  value: Float64Array;
  /** Bias of its score. */
  raised: number;
}

/** A scaled query, rotated by its distance from the page's base, with the maximum and sum of its whole softmax. */
export interface AskingQuery {
  query: Float64Array;
  maximum: number;
  sum: number;
}

/** Softmax mass of an entry that no query attends to. */
const LEAST_MASS = 1e-8;

/**
 * `count` entries, chosen one after another by their mass from `queries` times the squared distance from the nearest
 * chosen key. Each other entry is merged into the nearest.
 */
export function merged(entries: readonly PageEntry[], queries: readonly AskingQuery[], count: number): PageEntry[] {
  const massOf = ({ key, raised }: PageEntry): number =>
    queries.reduce(
      (total, { query, maximum, sum }) => total + Math.exp(dot(query, key) + raised - maximum) / sum,
      LEAST_MASS,
    );
  const masses = entries.map(massOf);
  const away = masses.map(() => 1e30);
  const owners = masses.map(() => 0);
  for (let r = 0; r < count; r++) {
    const risks = masses.map((mass, i) => mass * (away[i] ?? 0));
    const kept = entries[risks.indexOf(Math.max(...risks))];
    for (const [i, { key }] of entries.entries()) {
      const distance = squaredDistance(key, kept?.key);
      if (distance >= (away[i] ?? 0)) continue;
      away[i] = distance;
      owners[i] = r;
    }
  }
  const groups = Array.from({ length: count }, (_, r) => [...owners.keys()].filter((i) => owners[i] === r));
  return groups.map((group) => {
    const total = group.reduce((sum, i) => sum + (masses[i] ?? 0), 0);
    const mean = (part: 'key' | 'value'): Float64Array => {
      const result = new Float64Array(entries[0]?.[part].length ?? 0);
      for (const i of group) entries[i]?.[part].forEach((x, at) => (result[at]! += ((masses[i] ?? 0) / total) * x));
      return result;
    };
    const merged = { key: mean('key'), value: mean('value'), raised: 0 };
    return { ...merged, raised: Math.log(total / massOf(merged)) };
  });
}

const squaredDistance = (a: Float64Array, b: Float64Array = a): number =>
  a.reduce((sum, x, i) => sum + (x - (b[i] ?? NaN)) ** 2, 0);
