import { classOf, complement, intersection, literal, PLAIN, pointOf, type Range } from './code-points.ts';

interface Node {
  children: Map<string, Node>;
  /** One of the strings ends here. */
  isEnd: boolean;
}

/** A string that nothing else bounds ends, or a model may never come to its end. */
const ANY = 'plain{0,64}';

/** How many characters are read in one rule, so that groups do not lie too deep in each other. */
const MOST_NESTED = 16;

/**
 * EBNF of JSON strings without escapes, of some length at most, but these, as they stand between their quotes. `plain` is
 * a rule; `rule` makes another and gives its name.
 */
export function notStrings(strings: readonly string[], rule: (ebnf: string) => string): string {
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
  return rest(root, rule, 1);
}

/** What may follow when a string has come as far as `node`. */
function rest({ children, isEnd }: Node, rule: (ebnf: string) => string, depth: number): string {
  if (children.size === 0) return isEnd ? `plain ${ANY}` : ANY;
  const taken: Range[] = Array.from(children.keys(), (char) => [pointOf(char), pointOf(char)]);
  const alternatives = [`${classOf(intersection(PLAIN, complement(taken)))} ${ANY}`];
  for (const [char, child] of children) {
    if (!/["\\\u0000-\u001f]/.test(char) && char.isWellFormed())
      alternatives.push(`${literal(char)} ${rest(child, rule, depth + 1)}`);
  }
  if (!isEnd) alternatives.push('""');
  const ebnf = `(${alternatives.join(' | ')})`;
  return children.size > 1 || depth % MOST_NESTED === 0 ? rule(ebnf) : ebnf;
}
