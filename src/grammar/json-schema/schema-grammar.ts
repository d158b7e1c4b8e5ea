import type { GrammarBuilder, Sym } from '../grammar.ts';
import { JSON_SPACES } from '../json-style.ts';
import { GrammarError } from '../limits.ts';
import type { Regex } from '../regex/regexes.ts';
import { lower, parsePattern } from '../regex/syntax.ts';
import { SchemaNodes } from './nodes.ts';
import { ALL_ESCAPES, Quoting } from './quoting.ts';
import { isObject, openDocument } from './references.ts';
import type { Punctuation } from './rule-writer.ts';
import { GrammarWriter } from './write-grammar.ts';

/** How a schema is read, and how JSON is written. A schema's own `x-guidance` says the same and goes before. */
export interface SchemaOptions {
  /** Refuses keywords and formats that are not known, which are ignored otherwise. */
  strict?: boolean;
  /** `flexible`: any white space between tokens; `compact`: none. */
  whitespace?: 'flexible' | 'compact';
  /** The expression, as in Rust, of the white space that may stand between two tokens; goes before `whitespace`. */
  whitespacePattern?: string;
  /** Expressions, as in Rust, of what stands between items and behind keys; white space may stand around them. */
  itemSeparator?: string;
  keySeparator?: string;
  /**
   * `schema`: properties come in the order in which the schema names them, others behind them. `any`: in any order, where
   * at most six are required and none are counted; one that is optional may then be written twice.
   */
  propertyOrder?: 'schema' | 'any';
  /** Reads `oneOf` as `anyOf`. */
  coerceOneOf?: boolean;
  /** Ignores what is not supported, and reads `oneOf` as `anyOf`. */
  lenient?: boolean;
  /** Letters that may stand behind a backslash in a string: of `nrbtf\"u`. */
  escapes?: string;
  /** Strings that no pattern holds may have any character as \u and its number. */
  generalEscapes?: boolean;
}

/** Names of `x-guidance`, llguidance's and `property_order`, and what they are here. */
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
 * Writes the rules of the JSON texts that a JSON Schema of drafts 4 to 2020-12 allows into `builder`. The root matches a
 * text without white space around it. Every text is valid, and but for these every valid one is taken: properties come in
 * the order in which the schema names them, others behind them; numbers that have bounds have no exponent, and integers
 * no point; characters are escaped only where they must be; formats are checked where they are known. Throws a
 * `GrammarError` with the place in the schema where it cannot keep to what stands there. `ignored` are the places of
 * keywords and formats that are not known, which a validator ignores too.
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
    const nodes = new SchemaNodes({ document, strict, lenient, coerceOneOf, ignored }, builder.fuel);
    const quoting = new Quoting(builder.regexes, escapesOf(all), all.generalEscapes ?? false);
    const writer = new GrammarWriter(nodes, builder, quoting, punctuationOf(builder, all), all.propertyOrder === 'any');
    const root = writer.write(nodes.schema(schema, document.root, ''));
    return { root, ignored: [...new Set(ignored)] };
  } catch (error) {
    // The stack ends in values of const that are nested thousands deep.
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

/** White space that may stand between two tokens: the one place that says so. */
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
