import { isRecord } from '../../util/values.ts';
import type { GrammarBuilder, Sym } from '../grammar.ts';
import { schemaGrammar } from '../json-schema/schema-grammar.ts';
import { GrammarError } from '../limits.ts';
import { controlBytes } from '../parser/token-trie.ts';
import type { Regex } from '../regex/regexes.ts';
import { xmlParameters } from './call-values.ts';
import { ebnfGrammar } from './ebnf.ts';
import { compileExpression, type Expression, weightOfCharacters, weightOfText } from './expressions.ts';
import { anyOf, type ControlTokens, textUpTo, textWithout } from './free-text.ts';
import { regexOf } from './regex.ts';
import { MOST_REPETITIONS } from './text-reader.ts';

/** Deepest nesting of formats. */
const MOST_DEPTH = 100;

/**
 * Compiles a structural tag of XGrammar (its page "Structural Tag Usage"), `{format}`, or in vLLM's earlier form,
 * `{structures: [{begin, schema, end}], triggers}`, and returns its symbol. Free text continues up to the first
 * trigger, which must begin a tag. Free text contains no excluded texts, such as the end of the tag around it, and no
 * control tokens. Budgets in tokens, styles other than `json` and `qwen_xml`, `exclude_token` and `token_dispatch` are
 * refused. Throws a `GrammarError` with the place in the tag.
 */
export function structuralTagGrammar(tag: unknown, builder: GrammarBuilder, control?: ControlTokens): Sym {
  const compiler = new TagCompiler(builder, control);
  if (!isRecord(tag)) throw new GrammarError('must be an object');
  if (tag['type'] !== undefined && tag['type'] !== 'structural_tag')
    throw new GrammarError('must be structural_tag', 'type');
  const expression = 'structures' in tag ? compiler.structures(tag) : compiler.format(tag['format'], 'format', []);
  return compileExpression(expression, builder);
}

type Fields = Readonly<Record<string, unknown>>;

/** A tag: its beginning, a text or a control token, and the rest of it. */
interface Tag {
  begin: string | Regex;
  rest: Expression;
}

/** A trigger that ends free text, and the expression that follows it. */
interface Trigger {
  /** A text, or a control token. */
  mark: string | Regex;
  then: Expression;
}

interface DispatchOptions {
  /** Texts that free text does not contain. */
  excluded: readonly string[];
  /** The first tag, if it comes without text before it. */
  first?: Expression | undefined;
  isOnce: boolean;
}

class TagCompiler {
  #depth = 0;

  constructor(
    private readonly builder: GrammarBuilder,
    private readonly control: ControlTokens | undefined,
  ) {}

  structures(tag: Fields): Expression {
    const tags = listOf(tag, 'structures', '').map((structure, i) => {
      const at = `structures[${i}]`;
      const fields = recordOf(structure, at);
      const content = this.#schema(fields['schema'], `${at}.schema`);
      const rest: Expression = { kind: 'sequence', parts: [content, this.#text(textOf(fields, 'end', at))] };
      return { begin: textOf(fields, 'begin', at), rest };
    });
    return this.#triggered(textsOf(tag, 'triggers', '', 'some'), tags, { excluded: [], isOnce: false }, 'structures');
  }

  /** `ends`: texts that end the tag around the format. */
  format(format: unknown, at: string, ends: readonly string[]): Expression {
    this.builder.fuel.use(1);
    if (++this.#depth > MOST_DEPTH) throw new GrammarError(`is nested more than ${MOST_DEPTH} deep`, at);
    const expression = this.#ofType(recordOf(format, at), at, ends);
    this.#depth--;
    return expression;
  }

  #ofType(fields: Fields, at: string, ends: readonly string[]): Expression {
    const { type } = fields;
    switch (type) {
      case 'const_string':
        return this.#text(textOf(fields, 'value', at));
      case 'json_schema':
        return this.#jsonSchema(fields, at);
      case 'qwen_xml_parameter':
        return this.#jsonSchema({ ...fields, style: 'qwen_xml' }, at);
      case 'grammar':
        return this.#grammar(textOf(fields, 'grammar', at), `${at}.grammar`);
      case 'regex':
        return this.#regex(textOf(fields, 'pattern', at), `${at}.pattern`);
      case 'any_text':
        return this.#freeText([...textsOf(fields, 'excludes', at), ...ends], this.#someText(fields, at));
      case 'any_tokens':
        return this.#freeText([...this.#excludedTokens(fields, at), ...ends], this.#someText(fields, at));
      case 'token':
        return this.#regular(this.#token(fields['token'], `${at}.token`), weightOfCharacters(1));
      case 'sequence':
      case 'or': {
        const parts = listOf(fields, 'elements', at).map((part, i) => this.format(part, `${at}.elements[${i}]`, ends));
        return { kind: type === 'or' ? 'choice' : 'sequence', parts };
      }
      case 'optional':
        return this.#repeat(fields, at, ends, 0, 1);
      case 'plus':
        return this.#repeat(fields, at, ends, 1, Infinity);
      case 'star':
        return this.#repeat(fields, at, ends, 0, Infinity);
      case 'repeat': {
        const most = fields['max'] === -1 ? Infinity : countOf(fields, 'max', at);
        const least = countOf(fields, 'min', at);
        if (most < least) throw new GrammarError('is less than min', `${at}.max`);
        return this.#repeat(fields, at, ends, least, most);
      }
      case 'tag':
        return this.#whole(this.#tag(fields, at));
      case 'triggered_tags':
        return this.#triggeredTags(fields, at, ends);
      case 'token_triggered_tags':
        return this.#tokenTriggeredTags(fields, at, ends);
      case 'tags_with_separator':
        return this.#tagsWithSeparator(fields, at);
      case 'dispatch':
        return this.#dispatch(fields, at, ends);
      default: {
        const known = typeof type === 'string' ? JSON.stringify(type) : 'a format without a type';
        throw new GrammarError(`${known} is not supported`, `${at}.type`);
      }
    }
  }

  #text(text: string): Expression {
    return this.#regular(this.builder.regexes.text(text), weightOfText(text));
  }

  #regular(regex: Regex, weight = weightOfCharacters(Infinity)): Expression {
    return { kind: 'regex', regex, weight };
  }

  /** Any text of at most `max_chars` characters. */
  #someText(fields: Fields, at: string): Regex {
    const { regexes } = this.builder;
    const [tokens, characters] = ['max_tokens', 'max_chars'].map((name) => fields[name] ?? undefined);
    if (tokens === 0) return regexes.empty;
    if (tokens !== undefined) throw new GrammarError('a budget of tokens is not supported', `${at}.max_tokens`);
    if (characters === undefined) return regexes.anyText;
    return regexes.repeat(regexes.anyChar, 0, countOf(fields, 'max_chars', at));
  }

  #freeText(excluded: readonly string[], text?: Regex): Expression {
    const words = excluded.filter((word) => word !== '');
    return this.#regular(textWithout(words, this.builder.regexes, text));
  }

  #jsonSchema(fields: Fields, at: string): Expression {
    const { style = 'json', max_whitespace_cnt: space = null } = fields;
    const anyOrder = booleanOf(fields, 'any_order', at);
    if (space !== null) throw new GrammarError('is not supported', `${at}.max_whitespace_cnt`);
    if (style === 'json') return this.#schema(fields['json_schema'], `${at}.json_schema`, anyOrder ? 'any' : 'schema');
    if (style !== 'qwen_xml') throw new GrammarError(`${JSON.stringify(style)} is not supported`, `${at}.style`);
    if (anyOrder) throw new GrammarError('is not supported with qwen_xml', `${at}.any_order`);
    const schema = recordOf(fields['json_schema'], `${at}.json_schema`);
    const { regexes } = this.builder;
    const spaces = regexes.repeat(anyOf([' ', '\n', '\t'], regexes), 0, Infinity);
    const write = (): Sym => xmlParameters({ ...schema, type: 'object' }, spaces, this.builder);
    return { kind: 'symbol', symbol: within(`${at}.json_schema`, write) };
  }

  #schema(schema: unknown, at: string, propertyOrder: 'schema' | 'any' = 'schema'): Expression {
    if (!isRecord(schema) && typeof schema !== 'boolean') throw new GrammarError('must be a JSON Schema', at);
    return { kind: 'symbol', symbol: within(at, () => schemaGrammar(schema, this.builder, { propertyOrder }).root) };
  }

  #grammar(text: string, at: string): Expression {
    try {
      return { kind: 'symbol', symbol: ebnfGrammar(text, this.builder, this.control) };
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      throw new GrammarError(error.at === '' ? error.reason : `${error.at}: ${error.reason}`, at);
    }
  }

  #regex(pattern: string, at: string): Expression {
    return this.#regular(within(at, () => regexOf(pattern, this.builder)));
  }

  #repeat(fields: Fields, at: string, ends: readonly string[], least: number, most: number): Expression {
    return { kind: 'repeat', part: this.format(fields['content'], `${at}.content`, ends), least, most };
  }

  #tag(fields: Fields, at: string): Tag {
    const { begin } = fields;
    return {
      begin: isRecord(begin) ? this.#token(begin['token'], `${at}.begin.token`) : textOf(fields, 'begin', at),
      rest: this.#contentAndEnd(fields, at),
    };
  }

  /** Free text in a tag continues up to the tag's end. */
  #contentAndEnd(fields: Fields, at: string): Expression {
    const { end } = fields;
    const content = recordOf(fields['content'], `${at}.content`);
    if (isRecord(end)) {
      const last = this.#regular(this.#token(end['token'], `${at}.end.token`), weightOfCharacters(1));
      return { kind: 'sequence', parts: [this.format(content, `${at}.content`, []), last] };
    }
    const ends = typeof end === 'string' ? [end] : textsOf(fields, 'end', at, 'some');
    if (content['type'] === 'any_text' && !ends.includes('')) {
      const excluded = textsOf(content, 'excludes', `${at}.content`);
      const text = this.#someText(content, `${at}.content`);
      return this.#regular(textUpTo(ends, excluded, this.builder.regexes, text));
    }
    const last = this.#regular(anyOf(ends, this.builder.regexes), 1);
    return { kind: 'sequence', parts: [this.format(content, `${at}.content`, ends), last] };
  }

  #whole({ begin, rest }: Tag): Expression {
    const first = typeof begin === 'string' ? this.#text(begin) : this.#regular(begin, weightOfCharacters(1));
    return { kind: 'sequence', parts: [first, rest] };
  }

  #tags(fields: Fields, at: string): Tag[] {
    return listOf(fields, 'tags', at).map((each, i) => {
      const place = `${at}.tags[${i}]`;
      const tag = recordOf(each, place);
      if (tag['type'] !== undefined && tag['type'] !== 'tag') throw new GrammarError('must be tag', `${place}.type`);
      return this.#tag(tag, place);
    });
  }

  #flags(fields: Fields, tags: readonly Tag[], at: string): Pick<DispatchOptions, 'first' | 'isOnce'> {
    const hasFirst = booleanOf(fields, 'at_least_one', at);
    const first: Expression = { kind: 'choice', parts: tags.map((tag) => this.#whole(tag)) };
    return { first: hasFirst ? first : undefined, isOnce: booleanOf(fields, 'stop_after_first', at) };
  }

  #triggeredTags(fields: Fields, at: string, ends: readonly string[]): Expression {
    const tags = this.#tags(fields, at);
    const excluded = [...textsOf(fields, 'excludes', at), ...ends];
    const options = { excluded, ...this.#flags(fields, tags, at) };
    return this.#triggered(textsOf(fields, 'triggers', at, 'some'), tags, options, `${at}.tags`);
  }

  /** `at`: the place of the tags. */
  #triggered(triggers: readonly string[], tags: readonly Tag[], options: DispatchOptions, at: string): Expression {
    if (triggers.includes('')) throw new GrammarError('a trigger is empty', at.replace(/[^.]*$/, 'triggers'));
    const followersOf = new Map<string, Expression[]>(triggers.map((trigger) => [trigger, []]));
    for (const [i, { begin, rest }] of tags.entries()) {
      if (typeof begin !== 'string') throw new GrammarError('must be a text', `${at}[${i}].begin`);
      const fitting = [...followersOf.keys()].filter((trigger) => begin.startsWith(trigger));
      const [trigger] = fitting;
      if (trigger === undefined || fitting.length > 1)
        throw new GrammarError(
          `must begin with one of the triggers, but does with ${fitting.length}`,
          `${at}[${i}].begin`,
        );
      const parts = [this.#text(begin.slice(trigger.length)), rest];
      followersOf.get(trigger)?.push({ kind: 'sequence', parts });
    }
    const all = [...followersOf].map(([mark, parts]): Trigger => ({ mark, then: { kind: 'choice', parts } }));
    return this.#dispatched(all, options);
  }

  #tokenTriggeredTags(fields: Fields, at: string, ends: readonly string[]): Expression {
    const marks = listOf(fields, 'trigger_tokens', at).map((token, i) =>
      this.#token(token, `${at}.trigger_tokens[${i}]`),
    );
    const tags = this.#tags(fields, at);
    const triggers = tags.map(({ begin, rest }, i): Trigger => {
      if (typeof begin === 'string' || !marks.includes(begin))
        throw new GrammarError('must be one of trigger_tokens', `${at}.tags[${i}].begin`);
      return { mark: begin, then: rest };
    });
    const excluded = [...this.#excludedTokens(fields, at), ...ends];
    return this.#dispatched(triggers, { excluded, ...this.#flags(fields, tags, at) });
  }

  #dispatch(fields: Fields, at: string, ends: readonly string[]): Expression {
    const triggers = listOf(fields, 'rules', at).map((rule, i): Trigger => {
      const place = `${at}.rules[${i}]`;
      if (!Array.isArray(rule) || typeof rule[0] !== 'string' || rule[0] === '')
        throw new GrammarError('must be a text, which is not empty, and a format', place);
      return { mark: rule[0], then: this.format(rule[1], `${place}[1]`, ends) };
    });
    const excluded = [...textsOf(fields, 'excludes', at), ...ends];
    return this.#dispatched(triggers, { excluded, isOnce: !booleanOf(fields, 'loop', at, true) });
  }

  /** Free text up to a trigger, then the expression of the trigger, repeatedly. */
  #dispatched(triggers: readonly Trigger[], { excluded, first, isOnce }: DispatchOptions): Expression {
    if (first && isOnce) return first;
    const { regexes } = this.builder;
    const words = triggers.flatMap(({ mark }) => (typeof mark === 'string' ? mark : []));
    const stops = [...new Set([...words, ...excluded])].filter((word) => word !== '');
    const text = textWithout(stops, regexes);
    const triggered = triggers.map(({ mark, then }): Expression => {
      const upTo = typeof mark === 'string' ? textUpTo([mark], stops, regexes) : regexes.concat(text, mark);
      return { kind: 'sequence', parts: [this.#regular(upTo), then] };
    });
    const rest = this.#regular(text);
    if (isOnce) return { kind: 'choice', parts: [...triggered, rest] };
    const part: Expression = { kind: 'choice', parts: triggered };
    const loop: Expression = { kind: 'repeat', part, least: 0, most: Infinity };
    return { kind: 'sequence', parts: [...(first ? [first] : []), loop, rest] };
  }

  #tagsWithSeparator(fields: Fields, at: string): Expression {
    const tags = this.#tags(fields, at);
    const separator = this.#text(textOf(fields, 'separator', at));
    const { first, isOnce } = this.#flags(fields, tags, at);
    const tag: Expression = { kind: 'choice', parts: tags.map((each) => this.#whole(each)) };
    const more: Expression = {
      kind: 'repeat',
      part: { kind: 'sequence', parts: [separator, tag] },
      least: 0,
      most: Infinity,
    };
    const some: Expression = isOnce ? tag : { kind: 'sequence', parts: [tag, more] };
    return first ? some : { kind: 'repeat', part: some, least: 0, most: 1 };
  }

  /** A control token by its name or number. */
  #token(token: unknown, at: string): Regex {
    const id = typeof token === 'string' ? this.control?.(token) : token;
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0)
      throw new GrammarError(`must be a control token, but is ${JSON.stringify(token) ?? 'missing'}`, at);
    return this.builder.regexes.literalBytes(controlBytes(id));
  }

  /** Names of tokens that a text does not contain. */
  #excludedTokens(fields: Fields, at: string): string[] {
    const tokens = fields['exclude_tokens'] ?? [];
    if (!Array.isArray(tokens)) throw new GrammarError('must be a list', `${at}.exclude_tokens`);
    for (const [i, token] of tokens.entries()) this.#token(token, `${at}.exclude_tokens[${i}]`);
    return tokens.filter((token) => typeof token === 'string');
  }
}

const joined = (at: string, name: string): string => (at === '' ? name : `${at}.${name}`);

function recordOf(value: unknown, at: string): Fields {
  if (isRecord(value)) return value;
  throw new GrammarError('must be an object', at);
}

function textOf(fields: Fields, name: string, at: string): string {
  const value = fields[name];
  if (typeof value === 'string') return value;
  throw new GrammarError('must be a text', joined(at, name));
}

function listOf(fields: Fields, name: string, at: string): unknown[] {
  const value = fields[name];
  if (Array.isArray(value) && value.length > 0) return value;
  throw new GrammarError('must be a list that is not empty', joined(at, name));
}

/** `some`: at least one is required. */
function textsOf(fields: Fields, name: string, at: string, count: 'any' | 'some' = 'any'): string[] {
  const value = count === 'some' ? listOf(fields, name, at) : (fields[name] ?? []);
  if (Array.isArray(value) && value.every((each) => typeof each === 'string')) return value;
  throw new GrammarError('must be a list of texts', joined(at, name));
}

function booleanOf(fields: Fields, name: string, at: string, otherwise = false): boolean {
  const value = fields[name] ?? otherwise;
  if (typeof value === 'boolean') return value;
  throw new GrammarError('must be true or false', joined(at, name));
}

function countOf(fields: Fields, name: string, at: string): number {
  const value = fields[name];
  if (Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MOST_REPETITIONS)
    return value as number;
  throw new GrammarError(`must be a number from 0 to ${MOST_REPETITIONS}`, joined(at, name));
}

/** Runs `work`; a `GrammarError` of it gets the place `at`. */
export function within<T>(at: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    throw new GrammarError(error.reason, error.at === '' ? at : `${at}.${error.at}`);
  }
}
