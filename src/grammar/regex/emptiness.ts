import { type ByteClasses, classesOf } from './byte-sets.ts';
import { AND, BYTES, CONCAT, HAS_BOOLEAN, IS_NULLABLE, NOT, OR, REPEAT } from './nodes.ts';
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

/**
 * Whether `regex` matches no string: searches for a derivative that matches the empty string. `known` keeps what was
 * found for it, and for those on the way.
 */
export function isEmptyLanguage(regexes: RegexAlgebra, regex: Regex, known: Map<Regex, boolean>): boolean {
  const { nodes } = regexes;
  if (isPlain(regexes, regex)) return regex === regexes.nothing;
  const before = known.get(regex);
  if (before !== undefined) return before;
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
      if (isPlain(regexes, next) || known.get(next) === false) {
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

/** Whether it matches something unless it is NOTHING. */
function isPlain({ nodes }: RegexAlgebra, regex: Regex): boolean {
  const facts = nodes.facts[regex]!;
  return (facts & HAS_BOOLEAN) === 0 || (facts & IS_NULLABLE) !== 0;
}

function keepAsMatching(found: Regex, cameFrom: ReadonlyMap<Regex, Regex>, known: Map<Regex, boolean>): void {
  for (let node = found; ;) {
    known.set(node, false);
    const from = cameFrom.get(node) ?? node;
    if (from === node) return;
    node = from;
  }
}
