import { type ByteClasses, classesOf } from './byte-sets.ts';
import { AND, BYTES, CONCAT, NOT, OR, REPEAT, SURELY_MATCHES } from './nodes.ts';
import type { Regex, RegexAlgebra } from './regex-algebra.ts';

/** Bytes that no derivative of `roots`, however far, tells apart are of one class. */
export const byteClasses = (regexes: RegexAlgebra, roots: readonly Regex[]): ByteClasses =>
  classesOf(regexes.byteSets, setsIn(regexes, roots, false));

/** Bytes that the next derivative of `regex` does not tell apart. */
export const nextClasses = (regexes: RegexAlgebra, regex: Regex): ByteClasses =>
  classesOf(regexes.byteSets, setsIn(regexes, [regex], true));

/** The sets of bytes in these expressions, or only those that a first byte may be of. */
function setsIn(regexes: RegexAlgebra, roots: readonly Regex[], isFirstOnly: boolean): Set<number> {
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
  return sets;
}

/** So deep is it asked of parts. */
const DEEPEST = 100;

/**
 * Whether `regex` matches no string: asks its parts, and of an intersection searches for a derivative that matches the
 * empty string. `known` keeps what was found for it, and for those on the way.
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

/** Undefined: its parts do not tell. */
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
      return isEmpty(nodes.first[regex]!); // of none it would match the empty string
    default:
      return undefined;
  }
}

function isEmptyBySearch(regexes: RegexAlgebra, regex: Regex, known: Map<Regex, boolean>): boolean {
  const { nodes } = regexes;
  /** Each derivative met, and which it was found from. */
  const cameFrom = new Map<Regex, Regex>([[regex, regex]]);
  const waiting = [regex];
  for (let node = waiting.pop(); node !== undefined; node = waiting.pop()) {
    const { classOf, count } = nextClasses(regexes, node);
    regexes.fuel.use(4 + count);
    const seen = new Uint8Array(count);
    const found: Regex[] = [];
    for (let byte = 0; byte < 256; byte++) {
      const ofByte = classOf[byte]!;
      if (seen[ofByte]) continue;
      seen[ofByte] = 1;
      const next = regexes.derivative(node, byte);
      if (next === regexes.nothing || cameFrom.has(next) || known.get(next) === true) continue;
      cameFrom.set(next, node);
      if (isPlain(regexes, next) || known.get(next) === false || regexes.seesMatch(next)) {
        keepAsMatching(next, cameFrom, known);
        return false;
      }
      found.push(next);
    }
    // The one that seems nearest to its end comes first.
    found.sort((a, b) => nodes.shortest[b]! - nodes.shortest[a]!);
    waiting.push(...found);
  }
  for (const node of cameFrom.keys()) known.set(node, true);
  return true;
}

/** Whether it is plain to see what the answer is. */
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
