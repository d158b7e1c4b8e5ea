import { badSchema } from './bad-schema.ts';
import { anyOf, classOf, literal, NOTHING, oneOf, PLAIN, PLAIN_ASCII, PLAIN_BEYOND } from './code-points.ts';
import { areDisjoint } from './disjoint.ts';
import { FORMATS } from './formats.ts';
import { MOST } from './grammar-size.ts';
import { notStrings } from './not-strings.ts';
import { type Bounds, decimals, integers } from './number-ranges.ts';
import { type PatternGrammar, patternOf } from './pattern.ts';
import { placeOf, refuseCircles, resolve } from './references.ts';
import { repeated } from './repeated.ts';
import {
  boundOf,
  countOf,
  hasType,
  isSchema,
  type JsonType,
  type Schema,
  typesOf,
  wholeKeyword,
} from './schema-keywords.ts';

/** A class, not a group: repeated as it stands it is one place of the grammar, whose mask is made when it is compiled. */
const LETTERS = anyOf([{ ranges: PLAIN_ASCII, behind: '' }]);

/** Rules that every grammar has. Numbers are finite in a double; whitespace ends, so that a model cannot stay in it. */
const COMMON = [
  NOTHING,
  'ws ::= "" | " " | "\\n" [ ]{0,32}',
  `plain ::= ${LETTERS} | beyond`,
  `beyond ::= ${classOf(PLAIN_BEYOND)}`,
  'escape ::= "\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex hex hex | [dD] [0-7] hex hex))',
  `char ::= ${classOf(PLAIN)} | escape`,
  'hex ::= [0-9a-fA-F]',
  `string ::= "\\"" ${LETTERS}* ((beyond | escape) ${LETTERS}*)* "\\""`,
  'integer ::= "-"? ("0" | [1-9] [0-9]{0,14})',
  'number ::= integer ("." [0-9]{1,16})? ([eE] [+-]? [0-9]{1,2})?',
  'boolean ::= "true" | "false"',
  'null ::= "null"',
  'array ::= "[" ws (value ws ("," ws value ws)*)? "]"',
  'object ::= "{" ws (string ws ":" ws value ws ("," ws string ws ":" ws value ws)*)? "}"',
  'value ::= object | array | string | number | boolean | null',
];

/** Deeper schemas are refused; a definition begins anew. */
const MOST_DEPTH = 64;
/** Schemas in a schema, and characters of a property's name. */
const MOST_SCHEMAS = 20_000;
const MOST_NAME = 1000;
/** Characters of patterns' automata: where they are spent, later patterns are left as they stand. */
const MOST_AUTOMATA = MOST.text / 2;
/** Longest list or string that is counted: a grammar grows by what it counts. */
const MOST_COUNT = 4096;

/**
 * The grammar of a JSON Schema (2020-12), as EBNF that @mlc-ai/web-xgrammar reads: every answer it allows is valid, but
 * for patterns too large for an automaton (docs/decisions/grammars.md). Not every valid answer is allowed: properties
 * come in the schema's order, others only where `additionalProperties` says so; patterns match whole strings; numbers
 * have few decimals. What it cannot keep to is refused with `bad_request`, naming the keyword. The library's own
 * conversion is not used: it lets control characters into strings of a given length, takes "-" for an integer above −5,
 * and ignores what it does not know.
 */
export function schemaGrammar(schema: unknown): string {
  try {
    return new SchemaGrammar(schema).text();
  } catch (error) {
    if (error instanceof RangeError) badSchema('', 'is nested too deep'); // values of const, or definitions that begin with others
    throw error;
  }
}

/** A place in the schema. */
interface Place {
  at: string;
  depth: number;
  /** What references begin at: the nearest schema around that has an `$id`, or the whole (JSON Schema 2020-12, 8.2.1). */
  base: { schema: unknown; at: string };
  /** The definition that is at its beginning here: none once a character has been taken. */
  beginning: string | undefined;
}

class SchemaGrammar {
  /** Names by what they stand for: equal rules are one. */
  readonly #rules = new Map<string, string>();
  /** A rule for each definition that is referred to. */
  readonly #definitions = new Map<string, { name: string; ebnf: string }>();
  /** Schemas that references begin at. */
  readonly #bases: unknown[];
  /** By their sources. */
  readonly #patterns = new Map<string, PatternGrammar>();
  readonly #waiting: (() => void)[] = [];
  /** Which definitions begin with which, and where they say so. */
  readonly #beginsWith = new Map<string, { absolute: string; at: string }[]>();
  #schemas = 0;
  #length = 0;
  /** Characters of the patterns' automata. */
  #automata = 0;

  constructor(private readonly root: unknown) {
    this.#bases = [root];
  }

  text(): string {
    const root = this.#value(this.root, { at: '', depth: 0, base: { schema: this.root, at: '' }, beginning: '#' });
    for (const build of this.#waiting) build(); // which lets others wait
    refuseCircles(this.#beginsWith);
    const rules = Array.from(this.#rules, ([ebnf, name]) => `${name} ::= ${ebnf}`);
    const definitions = Array.from(this.#definitions.values(), ({ name, ebnf }) => `${name} ::= ${ebnf}`);
    const patterns = Array.from(this.#patterns.values(), (pattern) => pattern.rules).flat();
    return [`root ::= ${root}`, ...definitions, ...rules, ...patterns, ...COMMON].join('\n');
  }

  #rule(ebnf: string, at: string): string {
    const known = this.#rules.get(ebnf);
    if (known !== undefined) return known;
    if (this.#rules.size >= MOST.rules)
      badSchema(at, `comes after ${MOST.rules} rules of the grammar, which is as many as are supported`);
    const name = `r${this.#rules.size}`;
    this.#rules.set(this.#counted(ebnf, at), name);
    return name;
  }

  #counts(ebnf: string, least: number, most: number, at: string): string {
    const largest = Number.isFinite(most) ? most : least;
    if (largest > MOST_COUNT) badSchema(at, `counts to ${largest}; at most ${MOST_COUNT} is supported`);
    return repeated(ebnf, least, most, (each) => this.#rule(each, at));
  }

  /** Parts are counted, and what is made of them: what is far too long is refused before it is made. */
  #counted(ebnf: string, at: string): string {
    this.#length += ebnf.length;
    if (this.#length > 2 * MOST.text)
      badSchema(at, `makes the grammar longer than ${MOST.text} characters, which is as long as is supported`);
    return ebnf;
  }

  #value(schema: unknown, place: Place): string {
    const { at, depth } = place;
    if (depth > MOST_DEPTH) badSchema(at, `is nested more than ${MOST_DEPTH} deep`);
    if (++this.#schemas > MOST_SCHEMAS) badSchema(at, `comes after ${MOST_SCHEMAS} other schemas`);
    if (schema === true) return 'value';
    if (!isSchema(schema)) badSchema(at, schema === false ? 'allows nothing' : 'must be an object or true');
    const whole = wholeKeyword(schema, at);
    const base = '$id' in schema ? { schema, at } : place.base;
    const inner = { ...place, base, at: `${at}.${whole}`, depth: depth + 1 };
    if (whole === '$ref') return this.#reference(schema.$ref, inner);
    if (whole === 'const') return this.#literals([schema['const']], schema, inner.at);
    if (whole === 'enum') return this.#literals(listOf(schema['enum'], inner.at), schema, inner.at);
    if (whole) return this.#anyOf(listOf(schema[whole], inner.at), whole, inner);
    const types = typesOf(schema, at);
    if (!types) return 'value';
    return oneOf(types.map((type) => this.#ofType(type, schema, { at, depth: depth + 1, base, beginning: undefined })));
  }

  #ofType(type: JsonType, schema: Schema, place: Place): string {
    if (type === 'object') return this.#object(schema, place);
    if (type === 'array') return this.#array(schema, place);
    if (type === 'string') {
      const string = this.#string(schema, place.at);
      return string === type ? type : this.#rule(string, place.at);
    }
    return type === 'integer' || type === 'number' ? this.#counted(numberOf(type, schema, place.at), place.at) : type;
  }

  #string(schema: Schema, at: string): string {
    const { pattern, format } = schema;
    const kinds = ['pattern', 'format', 'minLength', 'maxLength'].filter((keyword) => keyword in schema);
    if (kinds.length > 1 && !kinds[0]?.startsWith('min'))
      badSchema(`${at}.${kinds[1]}`, `is not supported beside ${kinds[0]}`);
    if (pattern !== undefined) {
      if (typeof pattern !== 'string') badSchema(`${at}.pattern`, 'must be a string');
      return quoted(this.#pattern(pattern, `${at}.pattern`));
    }
    if (format !== undefined) {
      const known = typeof format === 'string' && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined;
      if (known === undefined) badSchema(`${at}.format`, `must be one of ${Object.keys(FORMATS).join(', ')}`);
      return quoted(this.#pattern(known, at));
    }
    if (kinds.length === 0) return 'string';
    const [least, most] = [countOf(schema, 'minLength', at, 0), countOf(schema, 'maxLength', at, Infinity)];
    if (least > most) badSchema(`${at}.minLength`, 'is above maxLength');
    return `("\\"" ${this.#counts('char', least, most, at)} "\\"")`;
  }

  #pattern(source: string, at: string): string {
    const known = this.#patterns.get(source);
    if (known) return known.ebnf;
    const pattern = patternOf(source, at, `p${this.#patterns.size}`, MOST_AUTOMATA - this.#automata);
    this.#automata += pattern.spent;
    this.#patterns.set(source, pattern);
    return pattern.ebnf;
  }

  /** Tells schemas apart that references begin at; of the whole it is nothing. Their places may be named alike: names have dots. */
  #baseOf(schema: unknown): string {
    const index = this.#bases.indexOf(schema);
    return index === 0 ? '' : String(index < 0 ? this.#bases.push(schema) - 1 : index);
  }

  #reference(pointer: unknown, place: Place): string {
    const { at, base, beginning } = place;
    if (typeof pointer !== 'string' || !/^#(\/|$)/.test(pointer)) badSchema(at, "must begin with '#/', or be '#'");
    const absolute = `${this.#baseOf(base.schema)}${pointer}`;
    if (beginning !== undefined) {
      const others = this.#beginsWith.get(beginning) ?? [];
      others.push({ absolute, at });
      this.#beginsWith.set(beginning, others);
    }
    if (absolute === '#') return 'root';
    const known = this.#definitions.get(absolute);
    if (known) return known.name;
    const target = resolve(pointer, base.schema, at);
    const definition = { name: `d${this.#definitions.size}`, ebnf: '' };
    this.#definitions.set(absolute, definition);
    this.#waiting.push(() => {
      definition.ebnf = this.#value(target, { at: base.at + placeOf(pointer), depth: 0, base, beginning: absolute });
    });
    return definition.name;
  }

  #literals(values: readonly unknown[], schema: Schema, at: string): string {
    const types = 'type' in schema ? typesOf({ type: schema['type'] }, at) : undefined;
    const fitting = values.filter((value) => types?.some((type) => hasType(value, type)) ?? true);
    if (fitting.length === 0) badSchema(at, 'has no value of the type');
    return oneOf(fitting.map((value) => this.#counted(literal(JSON.stringify(value)), at)));
  }

  #anyOf(branches: readonly unknown[], keyword: 'anyOf' | 'oneOf' | 'allOf', place: Place): string {
    if (keyword === 'allOf' && branches.length > 1) badSchema(place.at, 'is not supported with more than one schema');
    if (keyword === 'oneOf' && !areDisjoint(branches.map((branch) => targetOf(branch, place)))) {
      badSchema(place.at, 'has schemas that may share a value; anyOf takes them');
    }
    return oneOf(branches.map((branch, i) => this.#value(branch, { ...place, at: `${place.at}[${i}]` })));
  }

  #object(schema: Schema, place: Place): string {
    const { at } = place;
    const { properties = {}, required = [], additionalProperties } = schema;
    if (!isSchema(properties)) badSchema(`${at}.properties`, 'must be an object');
    if (!Array.isArray(required) || required.some((name) => typeof name !== 'string'))
      badSchema(`${at}.required`, 'must be an array of strings');
    const needed = new Set(required as string[]);
    const isOpen = isSchema(additionalProperties) || additionalProperties === true;
    const others = isOpen ? additionalProperties : additionalProperties !== false;
    const unnamed = [...needed].filter((name) => !Object.hasOwn(properties, name));
    if (unnamed.length > 0 && others === false)
      badSchema(`${at}.required`, `names '${unnamed[0]}', which is not allowed`);
    const names = [...Object.keys(properties), ...unnamed];
    const long = names.find(({ length }) => length > MOST_NAME);
    if (long !== undefined)
      badSchema(at, `names a property in ${long.length} characters; at most ${MOST_NAME} are supported`);
    if (names.length === 0 && others === false) return '("{" ws "}")';
    const pair = (key: string, value: unknown, where: string): string =>
      this.#rule(`${key} ws ":" ws ${this.#value(value, { ...place, at: where })} ws`, where);
    const pairs = names.map((name) => {
      const known = Object.hasOwn(properties, name);
      return pair(literal(JSON.stringify(name)), known ? properties[name] : others, `${at}.properties.${name}`);
    });
    const other =
      (isOpen || names.length === 0) &&
      pair(`"\\"" ${notStrings(names, (ebnf) => this.#rule(ebnf, at))} "\\""`, others, `${at}.additionalProperties`);
    // From the last property to the first: what may follow where something stands before, and where nothing does.
    let after = this.#rule(other ? `("," ws ${other})*` : '""', at);
    let first = this.#rule(other ? `(${other} ("," ws ${other})*)?` : '""', at);
    for (let i = names.length - 1; i >= 0; i--) {
      const isNeeded = needed.has(names[i] ?? '');
      const [next, none] = [after, first];
      after = this.#rule(`"," ws ${pairs[i]} ${next}${isNeeded ? '' : ` | ${next}`}`, at);
      first = this.#rule(`${pairs[i]} ${next}${isNeeded ? '' : ` | ${none}`}`, at);
    }
    return `("{" ws ${first} "}")`;
  }

  #array(schema: Schema, place: Place): string {
    const { at } = place;
    const { items = true, prefixItems = [] } = schema;
    const least = countOf(schema, 'minItems', at, 0);
    const most = countOf(schema, 'maxItems', at, Infinity);
    if (least > most) badSchema(`${at}.minItems`, 'is above maxItems');
    if (!Array.isArray(prefixItems)) badSchema(`${at}.prefixItems`, 'must be an array');
    const inner = (value: unknown, where: string): string =>
      this.#rule(`${this.#value(value, { ...place, at: `${at}.${where}` })} ws`, at);
    const fixed = prefixItems.slice(0, most).map((item: unknown, i) => inner(item, `prefixItems[${i}]`));
    const [fewest, many] = [Math.max(0, least - fixed.length), most - fixed.length];
    if (items === false || many === 0) {
      if (fewest > 0) badSchema(`${at}.minItems`, 'asks for more than items allows');
      return `("[" ws ${fixed.join(' "," ws ')} "]")`;
    }
    const item = inner(items, 'items');
    if (fixed.length > 0)
      return `("[" ws ${fixed.join(' "," ws ')} ${this.#counts(`("," ws ${item})`, fewest, many, at)} "]")`;
    const list = `${item} ${this.#counts(`("," ws ${item})`, Math.max(0, fewest - 1), many - 1, at)}`;
    return `("[" ws ${fewest > 0 ? list : `(${list})?`} "]")`;
  }
}

function targetOf(branch: unknown, { base: { schema: outer }, at }: Place): Schema {
  let target = branch;
  let base = outer;
  for (let hops = 0; hops < MOST_DEPTH && isSchema(target) && typeof target['$ref'] === 'string'; hops++) {
    if ('$id' in target) base = target;
    target = resolve(target['$ref'], base, at);
  }
  return isSchema(target) ? target : {};
}

/** A rule that refers to none the library would write out where it is used, and there read bytes of it as characters. */
const quoted = (ebnf: string): string => `("\\"" ${ebnf} "\\"" nothing)`;

function numberOf(type: 'integer' | 'number', schema: Schema, at: string): string {
  const bound = (keyword: string): number | undefined => boundOf(schema, keyword, at);
  const [least, above, most, below] = ['minimum', 'exclusiveMinimum', 'maximum', 'exclusiveMaximum'].map(bound);
  if ([least, above, most, below].every((value) => value === undefined)) return type;
  if ([above, below].some((value) => value !== undefined && Math.abs(value) > Number.MAX_SAFE_INTEGER)) {
    badSchema(at, `has an exclusive bound beyond ${Number.MAX_SAFE_INTEGER}, where numbers lie further than 1 apart`);
  }
  const whole = type === 'integer';
  const aboveLeast = above !== undefined && above >= (least ?? -Infinity);
  const belowMost = below !== undefined && below <= (most ?? Infinity);
  let bounds: Bounds = { least: aboveLeast ? above : least, most: belowMost ? below : most, aboveLeast, belowMost };
  if (whole) bounds = wholeBounds(bounds);
  const range = whole ? integers(bounds) : decimals(bounds);
  return range === undefined
    ? badSchema(at, 'has bounds that leave no number, or of more than 15 digits')
    : `(${range})`;
}

/** Bounds of the integers within bounds that need not be whole. */
function wholeBounds({ least = -Infinity, most = Infinity, aboveLeast, belowMost }: Bounds): Bounds {
  return {
    least: aboveLeast ? Math.floor(least) + 1 : Math.ceil(least),
    most: belowMost ? Math.ceil(most) - 1 : Math.floor(most),
  };
}

function listOf(value: unknown, at: string): readonly unknown[] {
  return Array.isArray(value) && value.length > 0 ? value : badSchema(at, 'must be an array of at least one');
}
