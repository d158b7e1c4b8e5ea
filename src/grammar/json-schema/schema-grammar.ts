import type { GrammarBuilder, Sym } from '../grammar.ts';
import { JSON_SPACES } from '../json-style.ts';
import { GrammarError, withinLimits } from '../limits.ts';
import type { Regex } from '../regex/regexes.ts';
import { lower, parsePattern } from '../regex/syntax.ts';
import type { Reading } from './node-set.ts';
import { SchemaNodes } from './nodes.ts';
import { ALL_ESCAPES, Quoting } from './quoting.ts';
import { isObject, openDocument } from './references.ts';
import type { Punctuation } from './rule-writer.ts';
import { GrammarWriter } from './write-grammar.ts';

/** How a schema is read, and how JSON is written. A schema's own `x-guidance` sets the same and takes precedence. */
export interface SchemaOptions {
  /** Refuses unknown keywords and formats, which are ignored otherwise. */
  strict?: boolean;
  /** `flexible`: any white space between tokens; `compact`: none. */
  whitespace?: 'flexible' | 'compact';
  /** Expression, in Rust's syntax, of the white space between two tokens; overrides `whitespace`. */
  whitespacePattern?: string;
  /** Expressions, in Rust's syntax, of the separators between items and after keys; white space may surround them. */
  itemSeparator?: string;
  keySeparator?: string;
  /**
   * `schema`: properties come in the order in which the schema names them, others after them. `any`: in any order, if
   * at most six are required and none are counted; of more than six, an optional one may be written twice. Otherwise
   * `any` for a schema that validators take and generators do not (`Reading.isForValidators`), unless it is `strict`,
   * `lenient` or so large that this takes too much work; `schema` for all others.
   */
  propertyOrder?: 'schema' | 'any';
  /** Reads `oneOf` as `anyOf`. */
  coerceOneOf?: boolean;
  /** Ignores unsupported keywords, and reads `oneOf` as `anyOf`. */
  lenient?: boolean;
  /** Letters that may follow a backslash in a string: some of `nrbtf\"u`. */
  escapes?: string;
  /** Strings without a pattern may have any character escaped as \uXXXX. */
  generalEscapes?: boolean;
}

/** Keys of `x-guidance`, which are llguidance's and `property_order`, and the options that they set. */
const GUIDANCE: Readonly<Record<string, (value: unknown) => SchemaOptions | undefined>> = {
  whitespace_flexible: (value) =>
    typeof value === 'boolean' ? { whitespace: value ? 'flexible' : 'compact' } : undefined,
  whitespace_pattern: (value) => (typeof value === 'string' ? { whitespacePattern: value } : undefined),
  item_separator: (value) => (typeof value === 'string' ? { itemSeparator: value } : undefined),
  property_order: (value) => (value === 'schema' || value === 'any' ? { propertyOrder: value } : undefined),
  key_separator: (value) => (typeof value === 'string' ? { keySeparator: value } : undefined),
  coerce_one_of: (value) => (typeof value === 'boolean' ? { coerceOneOf: value } : undefined),
  lenient: (value) => (typeof value === 'boolean' ? { lenient: value } : undefined),
  json_allowed_escapes: (value) => (typeof value === 'string' ? { escapes: value } : undefined),
  json_allow_general_unicode_escapes: (value) => (typeof value === 'boolean' ? { generalEscapes: value } : undefined),
};

/**
 * Writes rules into `builder` for the JSON texts that a JSON Schema of drafts 4 to 2020-12 allows. The root matches a
 * text without white space around it. Every text that it matches is valid. It matches every valid text, with these
 * exceptions: properties come in the order that `propertyOrder` says; numbers with bounds have
 * no exponent, and integers no point; characters are escaped only if they must be; known formats are checked. Throws a
 * `GrammarError` with the place in the schema that cannot be enforced. `ignored`: the places of unknown keywords and
 * formats, which a validator ignores too.
 */
export function schemaGrammar(
  schema: unknown,
  builder: GrammarBuilder,
  options: SchemaOptions = {},
): { root: Sym; ignored: string[] } {
  try {
    const all = { ...options, ...guidanceOf(schema) };
    const ignored: string[] = [];
    const document = openDocument(schema);
    const { strict = false, lenient = false, coerceOneOf = lenient } = all;
    const reading: Reading = { document, strict, lenient, coerceOneOf, ignored, isForValidators: false };
    const nodes = new SchemaNodes(reading, builder.fuel);
    const quoting = new Quoting(builder.regexes, escapesOf(all), all.generalEscapes ?? false);
    const punctuation = punctuationOf(builder, all);
    const write = (anyOrder: boolean): Sym =>
      new GrammarWriter(nodes, builder, quoting, punctuation, anyOrder).write(nodes.schema(schema, document.root, ''));
    let root = write(all.propertyOrder === 'any');
    // Only now is all read that matters.
    if (all.propertyOrder === undefined && !strict && !lenient && reading.isForValidators) {
      const reserve = builder.fuel.left / 2;
      builder.fuel.left -= reserve;
      const inOrder = root;
      root = withinLimits(
        () => write(true),
        () => inOrder,
      );
      builder.fuel.left += reserve;
    }
    return { root, ignored: [...new Set(ignored)] };
  } catch (error) {
    // Values of `const` that are nested thousands deep exhaust the stack.
    if (error instanceof RangeError) throw new GrammarError('is nested too deep');
    throw error;
  }
}

function guidanceOf(schema: unknown): SchemaOptions {
  const guidance = isObject(schema) ? schema['x-guidance'] : undefined;
  if (guidance === undefined) return {};
  if (!isObject(guidance)) throw new GrammarError('must be an object', 'x-guidance');
  const options: SchemaOptions = {};
  for (const [name, value] of Object.entries(guidance)) {
    const known = Object.hasOwn(GUIDANCE, name) ? GUIDANCE[name] : undefined;
    if (!known) throw new GrammarError(`must be one of ${Object.keys(GUIDANCE).join(', ')}`, `x-guidance.${name}`);
    if (value === null) continue;
    const option = known(value);
    if (!option) throw new GrammarError('is of another type', `x-guidance.${name}`);
    Object.assign(options, option);
  }
  return options;
}

function escapesOf({ escapes = ALL_ESCAPES }: SchemaOptions): string {
  const unknown = Array.from(escapes).find((letter) => !ALL_ESCAPES.includes(letter));
  if (unknown !== undefined) throw new GrammarError(`'${unknown}' is no escape of JSON that can be asked for`);
  return escapes;
}

/** White space between two tokens, defined only here. */
function whitespace({ regexes, fuel }: GrammarBuilder, options: SchemaOptions): Regex {
  if (options.whitespacePattern !== undefined)
    return regexes.repeat(lower(parsePattern(options.whitespacePattern, 'rust', { fuel }), regexes), 0, 1);
  if (options.whitespace === 'compact') return regexes.empty;
  const spaces = JSON_SPACES.map((byte) => [byte, byte] as const);
  return regexes.repeat(regexes.bytes(spaces), 0, Infinity);
}

function punctuationOf(builder: GrammarBuilder, options: SchemaOptions): Punctuation {
  const { regexes, fuel } = builder;
  const space = whitespace(builder, options);
  const separator = (source: string | undefined, usual: string): Regex =>
    source === undefined ? regexes.text(usual) : lower(parsePattern(source, 'rust', { fuel }), regexes);
  const terminal = (...parts: Regex[]): Sym => builder.terminal(regexes.concat(...parts));
  return {
    openBrace: terminal(regexes.text('{'), space),
    closeBrace: terminal(space, regexes.text('}')),
    openBracket: terminal(regexes.text('['), space),
    closeBracket: terminal(space, regexes.text(']')),
    closeEmptyBrace: terminal(regexes.text('}')),
    closeEmptyBracket: terminal(regexes.text(']')),
    comma: terminal(space, separator(options.itemSeparator, ','), space),
    colon: terminal(space, separator(options.keySeparator, ':'), space),
  };
}
