import type { Sym } from '../grammar.ts';
import { GrammarError } from '../limits.ts';
import { type ArrayPart, type Contained, type Node, NOTHING, type Shape } from './shapes.ts';
import type { RuleWriter } from './rule-writer.ts';

/** Most different values of unique items: each doubles the rules. */
const MOST_UNIQUE = 8;
/** Most `contains` schemas of an array, and most rules that count their matches. */
const MOST_CONTAINED = 5;
const MOST_STATES = 20_000;

/** The alternatives of a rule for the arrays of a part. */
export function arrayAlternatives(writer: RuleWriter, part: ArrayPart, at: string): readonly (readonly Sym[])[] {
  const { punctuation } = writer;
  const { openBracket, closeBracket, closeEmptyBracket } = punctuation;
  const items = part.unique && !isSurelyUnique(writer, part) ? uniqueItems(writer, part, at) : itemsOf(writer, part);
  const alternatives: Sym[][] = [];
  if (items.some !== undefined) alternatives.push([openBracket, items.some, closeBracket]);
  if (items.canBeNone) alternatives.push([openBracket, closeEmptyBracket]);
  return alternatives;
}

/** The symbol of one or more items, and whether there may be none. */
interface Items {
  readonly some: Sym | undefined;
  readonly canBeNone: boolean;
}

function itemsOf(writer: RuleWriter, part: ArrayPart): Items {
  const contains = part.contains.filter(({ least, most }) => least > 0 || most < Infinity);
  if (contains.length > 0) return containingItems(writer, part, contains);
  const { comma } = writer.punctuation;
  const { prefix, least, most } = part;
  const canBeNone = least === 0;
  if (most === 0) return { some: undefined, canBeNone };
  const isClosed = writer.nodes.isEmpty(part.items);
  const fixed = prefix.slice(0, most);
  // After the items of the prefix.
  let rest: Sym;
  const { length } = fixed;
  if (isClosed || most === length) {
    if (length === 0) return { some: undefined, canBeNone };
    rest = writer.ruleOf(length >= least ? [[]] : []);
  } else {
    const item = writer.symbolOf(part.items);
    const first = length === 0 ? 1 : 0;
    const more = writer.repeatedAfterCommas(item, Math.max(0, least - length - first), most - length - first);
    if (first === 1) return { some: writer.ruleOf([[item, more]]), canBeNone };
    rest = more;
  }
  for (let i = length - 1; i >= 0; i--) {
    // The array may end before an item if it has `least` items.
    const item = writer.symbolOf(fixed[i] ?? NOTHING);
    rest = writer.ruleOf(i === 0 ? [[item, rest]] : i >= least ? [[], [comma, item, rest]] : [[comma, item, rest]]);
  }
  return { some: rest, canBeNone };
}

/** Items with a count of those that match each `contains` schema. */
function containingItems(writer: RuleWriter, part: ArrayPart, contains: readonly Contained[]): Items {
  const { nodes, punctuation } = writer;
  if (contains.length > MOST_CONTAINED)
    throw new GrammarError(`contains is supported ${MOST_CONTAINED} times for an array, and no more`);
  const { prefix, least, most } = part;
  /** Highest count of each schema that is distinguished. */
  const caps = contains.map((each) => (each.most === Infinity ? each.least : each.most));
  const mostCounted = most === Infinity ? Math.max(1, least, prefix.length, ...contains.map(({ from }) => from)) : most;
  const rules = new Map<string, Sym>();
  const waiting: { rule: Sym; index: number; counts: readonly number[] }[] = [];
  /** The rule after `index` items. Indexes from `mostCounted` on share one. */
  const after = (index: number, counts: readonly number[]): Sym => {
    const key = `${index},${counts.join()}`;
    let rule = rules.get(key);
    if (rule === undefined) {
      if (rules.size >= MOST_STATES) throw new GrammarError('contains takes too many rules beside the bounds');
      rules.set(key, (rule = writer.builder.rule()));
      waiting.push({ rule, index, counts });
    }
    return rule;
  };
  const define = (rule: Sym, index: number, counts: readonly number[]): void => {
    const alternatives: Sym[][] = [];
    const isEnough = index >= least && contains.every((each, i) => (counts[i] ?? 0) >= each.least);
    if (isEnough && index > 0) alternatives.push([]);
    if (most === Infinity || index < most) {
      for (const { node, next } of choices(index, counts)) {
        if (nodes.isEmpty(node)) continue;
        const symbols = [writer.symbolOf(node), next];
        alternatives.push(index === 0 ? symbols : [punctuation.comma, ...symbols]);
      }
    }
    writer.builder.define(rule, alternatives);
  };
  const nodesOfChoices = new Map<string, Node>();
  /** An item that counts for the schemas with a bit in `chosen`. A match need not count if its schema has no maximum. */
  const nodeOfChoice = (index: number, chosen: number): Node => {
    const key = `${Math.min(index, prefix.length)},${contains.map(({ from }) => index < from).join()},${chosen}`;
    let node = nodesOfChoices.get(key);
    if (node === undefined) {
      const parts = [prefix[index] ?? part.items];
      for (const [i, each] of contains.entries()) {
        if (index < each.from) continue;
        if (((chosen >> i) & 1) === 1) parts.push(each.node);
        else if (each.most < Infinity) parts.push(nodes.not(each.node));
      }
      nodesOfChoices.set(key, (node = nodes.all(...parts)));
    }
    return node;
  };
  /** Nodes of the next item, one for each set of schemas that it counts for, and the rules after it. */
  function* choices(index: number, counts: readonly number[]): Generator<{ node: Node; next: Sym }> {
    const nextIndex = Math.min(index + 1, mostCounted);
    for (let chosen = 0; chosen < 2 ** contains.length; chosen++) {
      const isCounted = (i: number): boolean => ((chosen >> i) & 1) === 1;
      if (!contains.every(({ from }, i) => !isCounted(i) || (index >= from && (counts[i] ?? 0) < (caps[i] ?? 0))))
        continue;
      const nextCounts = counts.map((count, i) => (isCounted(i) ? count + 1 : count));
      yield { node: nodeOfChoice(index, chosen), next: after(nextIndex, nextCounts) };
    }
  }
  const some = after(
    0,
    contains.map(() => 0),
  );
  for (let next = waiting.pop(); next; next = waiting.pop()) define(next.rule, next.index, next.counts);
  return { some, canBeNone: least === 0 && contains.every((each) => each.least === 0) };
}

/** Whether all items are certainly distinct. */
function isSurelyUnique({ nodes }: RuleWriter, { prefix, items, most }: ArrayPart): boolean {
  if (most <= 1) return true;
  if (most > prefix.length && !nodes.isEmpty(items)) return false;
  const fixed = prefix.slice(0, most);
  return fixed.every((node, i) => fixed.slice(i + 1).every((other) => nodes.isEmpty(nodes.all(node, other))));
}

/** Arrays of a few values, each at most once: one rule for each set of values taken. */
function uniqueItems(writer: RuleWriter, part: ArrayPart, at: string): Items {
  const { nodes, punctuation } = writer;
  const values =
    part.prefix.length === 0 && part.contains.length === 0 ? valuesOf(nodes.shapeOf(part.items)) : undefined;
  if (!values || values.length > MOST_UNIQUE)
    throw new GrammarError(
      `uniqueItems is supported only where items are one of at most ${MOST_UNIQUE} values`,
      at === '' ? 'uniqueItems' : `${at}.uniqueItems`,
    );
  const symbols = values.map((value) => writer.symbolOf(nodes.value(value)));
  const most = Math.min(part.most, values.length);
  const rules: Sym[] = [];
  const all = 2 ** values.length - 1;
  // A rule refers to sets with one more value, which have higher numbers.
  for (let taken = all; taken >= 0; taken--) {
    const count = values.filter((_, i) => ((taken >> i) & 1) === 1).length;
    const alternatives: Sym[][] = [];
    if (count >= part.least && count > 0) alternatives.push([]);
    for (const [i, symbol] of symbols.entries()) {
      if (((taken >> i) & 1) === 1 || count >= most) continue;
      const next = rules[taken | (1 << i)] ?? 0;
      alternatives.push(count === 0 ? [symbol, next] : [punctuation.comma, symbol, next]);
    }
    rules[taken] = writer.ruleOf(alternatives);
  }
  return { some: rules[0], canBeNone: part.least === 0 };
}

/** The values of a shape, if it lists all of them. */
function valuesOf(shape: Shape): unknown[] | undefined {
  const { numbers, strings, arrays, objects } = shape;
  if (numbers.ranges.length > 0 || strings.parts.length > 0 || arrays.length > 0 || objects.length > 0)
    return undefined;
  const values: unknown[] = [...numbers.values, ...strings.values];
  if (shape.nulls) values.push(null);
  if (shape.trues) values.push(true);
  if (shape.falses) values.push(false);
  return values;
}
