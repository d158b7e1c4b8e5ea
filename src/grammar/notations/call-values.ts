import type { GrammarBuilder, Sym } from '../grammar.ts';
import { namesOf, nodeOfName } from '../json-schema/combine.ts';
import type { Nodes } from '../json-schema/node-set.ts';
import { SchemaNodes } from '../json-schema/nodes.ts';
import { ALL_ESCAPES, Quoting } from '../json-schema/quoting.ts';
import { openDocument } from '../json-schema/references.ts';
import type { Node, ObjectPart } from '../json-schema/shapes.ts';
import { type StringSet, stringPattern } from '../json-schema/strings.ts';
import type { Punctuation } from '../json-schema/rule-writer.ts';
import { GrammarWriter } from '../json-schema/write-grammar.ts';
import type { Regex, Regexes } from '../regex/regexes.ts';
import { lower } from '../regex/syntax.ts';
import { without } from './free-text.ts';

const NAME = /^[\p{L}_][\p{L}\p{N}_.-]*$/u;

/** Whether a text can be a name in calls that are not JSON. */
export const isName = (text: string): boolean => NAME.test(text);

/** The punctuation of arguments, and the terminals of keys; undefined for a key that cannot be written. */
interface Marks {
  open: Sym;
  close: Sym;
  comma: Sym;
  assign: Sym;
  key(name: string): Sym | undefined;
}

/**
 * The arguments of a Python call, `(key="value", other=[1, True])`: the named properties of a schema whose names Python
 * can write; undefined if others are required. Values are written as in Python or JSON, strings in double quotes.
 * `space` is allowed between tokens.
 */
export function pythonArguments(schema: object, space: Regex, builder: GrammarBuilder): Sym | undefined {
  const { nodes, root } = nodesOf(schema, builder);
  const quoting = new Quoting(builder.regexes, ALL_ESCAPES, false);
  const writer = new PythonWriter(nodes, builder, quoting, punctuationOf(space, builder), false);
  const marks: Marks = {
    ...marksOf('(', ')', '=', space, builder),
    key: (name) => (isName(name) ? builder.terminal(builder.regexes.text(name)) : undefined),
  };
  const alternatives = nodes
    .shapeOf(root)
    .objects.flatMap((part) => namedProperties(part, nodes, marks, builder, (node) => writer.write(node)) ?? []);
  return alternatives.length === 0 ? undefined : ruleOf(builder, alternatives);
}

/**
 * The objects of a schema as Gemma 4 writes them, `{key:<|"|>value<|"|>,other:[1,true]}`, and as JSON. `quotes` matches
 * the ways to write `<|"|>`; a text between quotes does not contain them.
 */
export function gemmaObject(schema: object, quotes: Regex, space: Regex, builder: GrammarBuilder): Sym {
  const { nodes, root } = nodesOf(schema, builder);
  const quoting = new GemmaQuoting(builder.regexes, quotes);
  const marks: Marks = {
    ...marksOf('{', '}', ':', space, builder),
    key: (name) =>
      builder.terminal(isName(name) ? builder.regexes.text(name) : quoting.quoted(builder.regexes.text(name))),
  };
  return new GemmaWriter(nodes, builder, quoting, punctuationOf(space, builder), marks).write(root);
}

/**
 * The named properties of a schema as Qwen3-Coder writes them, each `<parameter=key>value</parameter>`: strings
 * verbatim, other values as JSON, with white space around values.
 */
export function xmlParameters(schema: object, space: Regex, builder: GrammarBuilder): Sym {
  const { nodes, root, strings } = nodesOf(schema, builder);
  const { regexes } = builder;
  const quoting = new Quoting(regexes, ALL_ESCAPES, false);
  const writer = new GrammarWriter(nodes, builder, quoting, punctuationOf(space, builder), false);
  const end = regexes.text('</parameter>');
  const close = builder.terminal(regexes.concat(space, end));
  const blank = builder.terminal(space);
  const marks: Marks = {
    ...{ open: blank, close: blank, comma: blank, assign: blank },
    key: (name) => (/[>\n]/.test(name) ? undefined : builder.terminal(regexes.text(`<parameter=${name}>`))),
  };
  const valueOf = (node: Node): Sym => {
    const text = without(lower(stringPattern(nodes.shapeOf(node).strings), regexes), end, regexes);
    return ruleOf(builder, [
      [builder.terminal(text), close],
      [writer.write(nodes.all(node, nodes.not(strings))), close],
    ]);
  };
  const alternatives = nodes
    .shapeOf(root)
    .objects.flatMap((part) => namedProperties(part, nodes, marks, builder, valueOf) ?? []);
  return ruleOf(builder, alternatives);
}

function ruleOf(builder: GrammarBuilder, alternatives: readonly (readonly Sym[])[]): Sym {
  const rule = builder.rule();
  builder.define(rule, alternatives);
  return rule;
}

function nodesOf(schema: object, { fuel }: GrammarBuilder): { nodes: Nodes; root: Node; strings: Node } {
  const document = openDocument(schema);
  const reading = { document, strict: false, lenient: false, coerceOneOf: false, ignored: [], isForValidators: false };
  const nodes = new SchemaNodes(reading, fuel);
  return {
    nodes,
    root: nodes.schema(schema, document.root, ''),
    strings: nodes.schema({ type: 'string' }, document.root, ''),
  };
}

/** JSON with Python's constants in addition to its own. */
class PythonWriter extends GrammarWriter {
  override symbolOf(node: Node): Sym {
    const { nulls, trues, falses } = this.nodes.shapeOf(node);
    const { regexes } = this.builder;
    const constants: Regex[] = [];
    if (nulls) constants.push(regexes.text('None'));
    if (trues) constants.push(regexes.text('True'));
    if (falses) constants.push(regexes.text('False'));
    const json = super.symbolOf(node);
    return constants.length === 0 ? json : this.ruleOf([[json], [this.builder.terminal(regexes.or(...constants))]]);
  }
}

/** JSON, and objects whose keys are not quoted. */
class GemmaWriter extends GrammarWriter {
  readonly #written = new Map<Node, Sym>();
  readonly #later: (() => void)[] = [];

  constructor(
    nodes: Nodes,
    builder: GrammarBuilder,
    quoting: Quoting,
    punctuation: Punctuation,
    private readonly marks: Marks,
  ) {
    super(nodes, builder, quoting, punctuation, false);
  }

  override write(root: Node): Sym {
    const symbol = super.write(root);
    for (let define = this.#later.pop(); define; define = this.#later.pop()) define();
    return symbol;
  }

  override symbolOf(node: Node): Sym {
    const known = this.#written.get(node);
    if (known !== undefined) return known;
    const { nodes, builder, marks } = this;
    const json = super.symbolOf(node);
    const own = nodes.shapeOf(node).objects.map((part) => {
      const rule = builder.rule();
      this.#later.push(() => {
        const valueOf = (value: Node): Sym => super.write(value);
        builder.define(rule, namedProperties(part, nodes, marks, builder, valueOf) ?? []);
      });
      return [rule];
    });
    const symbol = own.length === 0 ? json : this.ruleOf([[json], ...own]);
    this.#written.set(node, symbol);
    return symbol;
  }
}

/** JSON strings, and strings between Gemma's quotes, without escapes. */
class GemmaQuoting extends Quoting {
  constructor(
    private readonly expressions: Regexes,
    private readonly quotes: Regex,
  ) {
    super(expressions, ALL_ESCAPES, false);
  }

  override string(set: StringSet): Regex {
    return this.expressions.or(super.string(set), this.quoted(lower(stringPattern(set), this.expressions)));
  }

  quoted(text: Regex): Regex {
    return this.expressions.concat(this.quotes, without(text, this.quotes, this.expressions), this.quotes);
  }
}

/**
 * An object with the properties that a part names, in their order; undefined if it needs others, or one that cannot be
 * written.
 */
function namedProperties(
  part: ObjectPart,
  nodes: Nodes,
  marks: Marks,
  builder: GrammarBuilder,
  valueOf: (node: Node) => Sym,
): Sym[][] | undefined {
  const names = [...namesOf(part)].filter((name) => marks.key(name) !== undefined);
  const isCounted = part.least > part.required.size || part.most < names.length || part.some.length > 0;
  if (isCounted || ![...part.required].every((name) => names.includes(name))) return undefined;
  /** The alternatives that may follow before the first property, and after one. */
  let first: Sym[][] = [[]];
  let next: Sym[][] = [[]];
  for (const name of names.reverse()) {
    const node = nodeOfName(nodes, part, name);
    const isRequired = part.required.has(name);
    if (nodes.isEmpty(node) && !isRequired) continue;
    const pair = [marks.key(name) as Sym, marks.assign, valueOf(node)];
    const [firstRule, nextRule] = [ruleOf(builder, first), ruleOf(builder, next)];
    first = [[...pair, nextRule], ...(isRequired ? [] : [[firstRule]])];
    next = [[marks.comma, ...pair, nextRule], ...(isRequired ? [] : [[nextRule]])];
  }
  return [[marks.open, ruleOf(builder, first), marks.close]];
}

function marksOf(
  open: string,
  close: string,
  assign: string,
  space: Regex,
  builder: GrammarBuilder,
): Omit<Marks, 'key'> {
  const { regexes } = builder;
  const mark = (...parts: Regex[]): Sym => builder.terminal(regexes.concat(...parts));
  return {
    open: mark(regexes.text(open), space),
    close: mark(space, regexes.text(close)),
    comma: mark(space, regexes.text(','), space),
    assign: mark(space, regexes.text(assign), space),
  };
}

/** The punctuation of JSON. */
function punctuationOf(space: Regex, builder: GrammarBuilder): Punctuation {
  const { regexes } = builder;
  const braces = marksOf('{', '}', ':', space, builder);
  const brackets = marksOf('[', ']', ':', space, builder);
  return {
    openBrace: braces.open,
    closeBrace: braces.close,
    openBracket: brackets.open,
    closeBracket: brackets.close,
    closeEmptyBrace: builder.terminal(regexes.text('}')),
    closeEmptyBracket: builder.terminal(regexes.text(']')),
    comma: braces.comma,
    colon: braces.assign,
  };
}
