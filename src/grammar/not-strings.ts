import { classOf, complement, intersection, literal, PLAIN, type Range } from './code-points.ts';

interface Node {
  children: Map<string, Node>;
  /** One of the strings ends here. */
  isEnd: boolean;
}

/** A string that nothing else bounds ends, or a model may never come to its end. */
const ANY = 'plain{0,64}';

/**
 * EBNF of JSON strings without escapes, of some length at most, but these, as they stand between their quotes. `plain`
 * is a rule.
 */
export function notStrings(strings: readonly string[]): string {
  const root: Node = { children: new Map(), isEnd: false };
  for (const text of strings) {
    let node = root;
    for (const char of text) {
      const next = node.children.get(char) ?? { children: new Map(), isEnd: false };
      node.children.set(char, next);
      node = next;
    }
    node.isEnd = true;
  }
  return rest(root);
}

/** What may follow when a string has come as far as `node`. */
function rest({ children, isEnd }: Node): string {
  if (children.size === 0) return isEnd ? `plain ${ANY}` : ANY;
  const taken: Range[] = Array.from(children.keys(), (char) => [char.codePointAt(0) ?? 0, char.codePointAt(0) ?? 0]);
  const alternatives = [`${classOf(intersection(PLAIN, complement(taken)))} ${ANY}`];
  for (const [char, child] of children) {
    if (!/["\\\u0000-\u001f]/.test(char)) alternatives.push(`${literal(char)} ${rest(child)}`);
  }
  if (!isEnd) alternatives.push('""');
  return `(${alternatives.join(' | ')})`;
}
