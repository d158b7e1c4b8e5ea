import type { ByteClasses } from './byte-sets.ts';
import { AND, BYTES, CONCAT, NOT, OR, REPEAT, SURELY_MATCHES } from './nodes.ts';
import type { Regex, RegexAlgebra } from './regex-algebra.ts';

/** Classes of bytes that no derivative of `roots`, of any order, distinguishes. */
export const byteClasses = (regexes: RegexAlgebra, roots: readonly Regex[]): ByteClasses =>
  regexes.byteSets.classes(setsIn(regexes, roots, false));

/** Classes of bytes that the next derivative of `regex` does not distinguish. */
export const nextClasses = (regexes: RegexAlgebra, regex: Regex): ByteClasses =>
  regexes.byteSets.classes(setsIn(regexes, [regex], true));

/** The byte sets in these expressions, or only those that may contain the first byte. */
function setsIn(regexes: RegexAlgebra, roots: readonly Regex[], isFirstOnly: boolean): number[] {
  const { nodes } = regexes;
  const sets = new Set<number>();
  const seen = new Set(roots);
  for (const node of seen) {
    const first = nodes.first[node]!;
    switch (nodes.kind[node]!) {
      case BYTES:
        sets.add(first);
        break;
      case CONCAT:
        seen.add(first);
        if (!isFirstOnly || regexes.isNullable(first)) seen.add(nodes.second[node]!);
        break;
      case OR:
      case AND:
        for (const part of nodes.partsOf(node)) seen.add(part);
        break;
      case NOT:
      case REPEAT:
        seen.add(first);
        break;
    }
  }
  return [...sets].sort((a, b) => a - b);
}

/** Deepest recursion into parts. */
const DEEPEST = 100;

/**
 * Whether `regex` matches no string. If its parts do not decide that, searches for a nullable derivative. `known`
 * caches the results for `regex` and for expressions on the way.
 */
export function isEmptyLanguage(regexes: RegexAlgebra, regex: Regex, known: Map<Regex, boolean>, depth = 0): boolean {
  if (isPlain(regexes, regex)) return regex === regexes.nothing;
  const before = known.get(regex);
  if (before !== undefined) return before;
  if (regexes.seesMatch(regex)) {
    known.set(regex, false);
    return false;
  }
  const isEmpty = depth < DEEPEST ? isEmptyByParts(regexes, regex, known, depth + 1) : undefined;
  if (isEmpty === undefined) return isEmptyBySearch(regexes, regex, known);
  known.set(regex, isEmpty);
  return isEmpty;
}

/** Undefined: the parts do not decide it. */
function isEmptyByParts(
  regexes: RegexAlgebra,
  regex: Regex,
  known: Map<Regex, boolean>,
  depth: number,
): boolean | undefined {
  const { nodes } = regexes;
  const isEmpty = (part: Regex): boolean => isEmptyLanguage(regexes, part, known, depth);
  regexes.fuel.use(1);
  switch (nodes.kind[regex]!) {
    case CONCAT: {
      let rest = regex;
      for (; nodes.kind[rest] === CONCAT; rest = nodes.second[rest]!) if (isEmpty(nodes.first[rest]!)) return true;
      return isEmpty(rest);
    }
    case OR:
      return nodes.partsOf(regex).every(isEmpty);
    case REPEAT:
      return isEmpty(nodes.first[regex]!); // with 0 repetitions it would be nullable
    default:
      return undefined;
  }
}

function isEmptyBySearch(regexes: RegexAlgebra, regex: Regex, known: Map<Regex, boolean>): boolean {
  const { nodes } = regexes;
  /** Each derivative found, and the expression it was derived from. */
  const cameFrom = new Map<Regex, Regex>([[regex, regex]]);
  const waiting = [regex];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const { firsts } = nextClasses(regexes, node);
    regexes.fuel.use(4 + firsts.length);
    const found: Regex[] = [];
    for (const byte of firsts) {
      const next = regexes.derivative(node, byte);
      if (next === regexes.nothing || cameFrom.has(next) || known.get(next) === true) continue;
      cameFrom.set(next, node);
      if (isPlain(regexes, next) || known.get(next) === false || regexes.seesMatch(next)) {
        keepAsMatching(next, cameFrom, known);
        return false;
      }
      found.push(next);
    }
    // The one with the shortest match is searched first.
    found.sort((a, b) => nodes.shortest[b]! - nodes.shortest[a]!);
    waiting.push(...found);
  }
  for (const node of cameFrom.keys()) known.set(node, true);
  return true;
}

/** Whether the answer is known without a search. */
const isPlain = ({ nodes, nothing }: RegexAlgebra, regex: Regex): boolean =>
  regex === nothing || (nodes.facts[regex]! & SURELY_MATCHES) !== 0;

function keepAsMatching(found: Regex, cameFrom: ReadonlyMap<Regex, Regex>, known: Map<Regex, boolean>): void {
  for (let node = found; ;) {
    known.set(node, false);
    const from = cameFrom.get(node) ?? node;
    if (from === node) return;
    node = from;
  }
}
