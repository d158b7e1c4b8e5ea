import type { GrammarBuilder, Sym } from '../grammar.ts';
import { schemaGrammar } from '../json-schema/schema-grammar.ts';
import { isRecord } from '../../util/values.ts';
import { GrammarError } from '../limits.ts';
import { controlBytes } from '../parser/token-trie.ts';
import type { Regex } from '../regex/regexes.ts';
import { gemmaObject, isName, pythonArguments } from './call-values.ts';
import { orAll } from './expressions.ts';
import { anyOf, type ControlTokens, notBeginning, textUpTo, textWithout } from './free-text.ts';
import { within } from './structural-tag.ts';

/** Tool calls that an answer may contain. */
export interface ToolCalls {
  /** How the model writes them: a `ToolFormat` of `src/tokenizer/chat-traits.ts`. */
  notation: string;
  /** `parameters` is a JSON Schema; default: any object. */
  tools: readonly { name: string; parameters?: unknown }[];
  /** The prompt ends within `<think>`. */
  opensReasoning?: boolean;
}

/** Most white space between tokens. */
const MOST_SPACE = 16;
const OPEN_THOUGHT = '<think>';
const CLOSE_THOUGHT = '</think>';
/** Characters that parsers of answers treat as white space. */
const READERS_SPACE = [
  ...([
    [9, 13],
    [0x20, 0x20],
    [0xa0, 0xa0],
    [0x1680, 0x1680],
    [0x2000, 0x200a],
  ] as const),
  ...([
    [0x2028, 0x2029],
    [0x202f, 0x202f],
    [0x205f, 0x205f],
    [0x3000, 0x3000],
    [0xfeff, 0xfeff],
  ] as const),
];
const PYTHON_TAG = '<|python_tag|>';
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  ...{ '"': '"', '\\': '\\', '/': '/' },
  ...{ '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't' },
};

/**
 * The symbol of answers with tool calls, as `src/api/chat/tool-calls.ts` parses them: free text in which everything
 * that begins like a call is a call of one of the tools, with arguments that match its schema. Thoughts may come first;
 * they contain no calls. The last call may lack its closing marker, which may be the token that ends the answer. Throws
 * a `GrammarError` if the notation is unknown, a tool cannot be called in it, or a schema is refused.
 */
export function toolCallGrammar(calls: ToolCalls, builder: GrammarBuilder, control?: ControlTokens): Sym {
  if (calls.tools.length === 0) throw new GrammarError('has no tools that could be called');
  const writer = new CallWriter(calls, builder, control);
  switch (calls.notation) {
    case 'hermes':
      return writer.marked('<tool_call>', writer.jsonCall('arguments'), '</tool_call>');
    case 'mistral':
      return writer.marked('[TOOL_CALLS]', writer.jsonCalls());
    case 'lfm2':
      return writer.marked('<|tool_call_start|>', writer.pythonOrJsonCalls(), '<|tool_call_end|>');
    case 'gemma4':
      return writer.marked('<|tool_call>', writer.gemmaCall(), '<tool_call|>');
    case 'llama':
      return writer.bare();
    default:
      throw new GrammarError(`calls in the notation ${JSON.stringify(calls.notation)} cannot be held to schemas`);
  }
}

class CallWriter {
  readonly #space: Regex;
  readonly #arguments = new Map<number, Sym>();

  constructor(
    private readonly calls: ToolCalls,
    private readonly builder: GrammarBuilder,
    private readonly control: ControlTokens | undefined,
  ) {
    const { regexes } = builder;
    this.#space = regexes.repeat(anyOf([' ', '\n', '\t', '\r'], regexes), 0, MOST_SPACE);
  }

  /**
   * A call of any of the tools as JSON, with the name first or last. `isTyped`: `"type": "function"` may come before
   * the name, which is not last.
   */
  jsonCall(argumentsName: 'arguments' | 'parameters', isTyped = false): Sym {
    const type = this.#tokens('"type"', ':', '"function"', ',');
    const { regexes } = this.builder;
    const head = this.#terminal(
      this.#tokens('{'),
      isTyped ? regexes.repeat(type, 0, 1) : regexes.empty,
      this.#tokens('"name"', ':'),
    );
    const close = this.#terminal(this.#space, this.#text('}'));
    const alternatives: Sym[][] = [];
    for (const [i, { name }] of this.calls.tools.entries()) {
      const written = JSON.stringify(name);
      const named = this.#terminal(
        this.#text(written),
        this.#space,
        this.#tokens(',', JSON.stringify(argumentsName), ':'),
      );
      const given = this.#json(i);
      alternatives.push([head, named, given, close]);
      if (isTyped) continue;
      const first = this.#terminal(this.#tokens('{', JSON.stringify(argumentsName), ':'));
      const last = this.#terminal(this.#space, this.#tokens(',', '"name"', ':', written), this.#text('}'));
      alternatives.push([first, given, last]);
    }
    return this.#rule(...alternatives);
  }

  jsonCalls(): Sym {
    return this.#list(this.jsonCall('arguments'));
  }

  pythonOrJsonCalls(): Sym {
    const json = this.jsonCall('arguments');
    const python = this.calls.tools.flatMap(({ name }, i): Sym[][] => {
      if (!isName(name)) return [];
      const given = this.#ofSchema(i, (schema) => pythonArguments(schema, this.#space, this.builder));
      return given === undefined ? [] : [[this.#terminal(this.#text(name)), given]];
    });
    return this.#rule([json], [this.#list(json)], ...(python.length > 0 ? [[this.#list(this.#rule(...python))]] : []));
  }

  gemmaCall(): Sym {
    const calls = this.calls.tools.map(({ name }, i) => {
      if (!isName(name))
        throw new GrammarError(`${JSON.stringify(name)} is no name in Gemma 4's notation`, `${i}.function.name`);
      const quotes = this.#marker('<|"|>');
      const given = this.#ofSchema(i, (schema) => gemmaObject(schema, quotes, this.#space, this.builder));
      return [this.#terminal(this.#text(`call:${name}`)), given];
    });
    return this.#rule(...calls);
  }

  /** Calls, each after an opening marker and, if given, before a closing marker. */
  marked(open: string, calls: Sym, close?: string): Sym {
    const { regexes } = this.builder;
    const suffix = close === undefined ? [] : [this.#terminal(this.#space, this.#marker(close))];
    // The last call need not be closed.
    const end = this.#terminal(this.#space);
    const upTo = regexes.concat(this.#upTo(open), this.#space);
    const rest = textWithout([open], regexes);
    const before = this.#recursive((rule) => [[], [rule, this.#terminal(upTo), calls, ...suffix]]);
    const last = close === undefined ? [] : [[before, this.#terminal(upTo), calls, end]];
    const body = this.#rule([before, this.#terminal(rest)], ...last);
    const begun = this.#terminal(notBeginning(upTo, this.#thought(), regexes));
    return this.#withThoughts(body, [
      [this.#terminal(notBeginning(rest, this.#thought(), regexes))],
      [begun, calls, ...suffix, body],
      ...(close === undefined ? [] : [[begun, calls, end]]),
    ]);
  }

  /** An answer of calls only, or without calls, as Llama 3 writes it. */
  bare(): Sym {
    const { regexes } = this.builder;
    const tag = regexes.repeat(regexes.concat(this.#marker(PYTHON_TAG), this.#space), 0, 1);
    const call = this.jsonCall('parameters', true);
    const calls = this.#recursive((rule) => [
      [this.#terminal(this.#space, tag), call],
      [rule, this.#terminal(this.#text(';'), this.#space, tag), call],
    ]);
    const text = this.#noBareCall();
    const first = notBeginning(text, this.#thought(), regexes);
    return this.#withThoughts(this.#rule([calls], [this.#terminal(text)]), [[calls], [this.#terminal(first)]]);
  }

  /**
   * Text that is not parsed as a call: it does not begin like JSON, or lacks a tool's name or parameters, in any
   * spelling.
   */
  #noBareCall(): Regex {
    const { regexes } = this.builder;
    const has = (texts: readonly string[]): Regex => {
      const written = orAll(
        texts.map((text) => this.#anyWriting(text)),
        regexes,
      );
      return regexes.concat(regexes.anyBytes, written, regexes.anyBytes);
    };
    const space = this.#readersSpace();
    const call = regexes.concat(
      space,
      this.#text('{'),
      regexes.and(has(['parameters']), has(this.calls.tools.map(({ name }) => name))),
    );
    const untagged = notBeginning(regexes.anyText, call, regexes);
    const tagged = regexes.concat(space, this.#text(PYTHON_TAG), call);
    const id = this.control?.(PYTHON_TAG);
    const text = notBeginning(untagged, tagged, regexes);
    return id === undefined ? text : regexes.or(text, regexes.concat(regexes.literalBytes(controlBytes(id)), untagged));
  }

  /** A JSON string in any spelling: each of its characters may be escaped. */
  #anyWriting(text: string): Regex {
    const { regexes } = this.builder;
    const written = Array.from(text, (char) => {
      const units = Array.from({ length: char.length }, (_, i) => char.charCodeAt(i).toString(16).padStart(4, '0'));
      const numbered = units.map((unit) => [
        this.#text('\\u'),
        ...Array.from(unit, (digit) => anyOf([digit, digit.toUpperCase()], regexes)),
      ]);
      const short = Object.hasOwn(SHORT_ESCAPES, char) ? this.#text(`\\${SHORT_ESCAPES[char] ?? ''}`) : regexes.nothing;
      const itself = /^[\ud800-\udfff]$/u.test(char) ? regexes.nothing : this.#text(char);
      return regexes.or(itself, short, regexes.concat(...numbered.flat()));
    });
    return regexes.concat(this.#text('"'), ...written, this.#text('"'));
  }

  /** Answers with `body` after a thought, or with an alternative of `begun` if there is no thought. */
  #withThoughts(body: Sym, begun: readonly (readonly Sym[])[]): Sym {
    const { regexes } = this.builder;
    const upTo = this.#upTo(CLOSE_THOUGHT);
    const unclosed = textWithout([CLOSE_THOUGHT], regexes);
    if (this.calls.opensReasoning) return this.#rule([this.#terminal(upTo), body], [this.#terminal(unclosed)]);
    const thought = this.#thought();
    return this.#rule([this.#terminal(thought, upTo), body], [this.#terminal(thought, unclosed)], ...begun);
  }

  /** The beginning of a thought. */
  #thought(): Regex {
    return this.builder.regexes.concat(this.#readersSpace(), this.#marker(OPEN_THOUGHT));
  }

  #readersSpace(): Regex {
    const { regexes } = this.builder;
    return regexes.repeat(regexes.chars(READERS_SPACE), 0, Infinity);
  }

  /** Text up to and including a marker. */
  #upTo(marker: string): Regex {
    const { regexes } = this.builder;
    const id = this.control?.(marker);
    const written = textUpTo([marker], [], regexes);
    if (id === undefined) return written;
    const text = textWithout([marker], regexes);
    return regexes.or(written, regexes.concat(text, regexes.literalBytes(controlBytes(id))));
  }

  /** A marker as text or, if there is one, as a control token. */
  #marker(text: string): Regex {
    const { regexes } = this.builder;
    const id = this.control?.(text);
    return id === undefined ? this.#text(text) : regexes.or(this.#text(text), regexes.literalBytes(controlBytes(id)));
  }

  /** A list of at least one call. */
  #list(call: Sym): Sym {
    const comma = this.#terminal(this.#space, this.#tokens(','));
    const some = this.#recursive((rule) => [[call], [rule, comma, call]]);
    return this.#rule([this.#terminal(this.#tokens('[')), some, this.#terminal(this.#space, this.#text(']'))]);
  }

  /** The arguments of a tool as JSON. */
  #json(i: number): Sym {
    const known = this.#arguments.get(i);
    if (known !== undefined) return known;
    const given = this.#ofSchema(i, (schema) => schemaGrammar(schema, this.builder).root);
    this.#arguments.set(i, given);
    return given;
  }

  #ofSchema<T>(i: number, write: (schema: object) => T): T {
    return within(`${i}.function.parameters`, () => write(objectSchema(this.calls.tools[i]?.parameters)));
  }

  /** Texts, each followed by white space. */
  #tokens(...texts: readonly string[]): Regex {
    return this.builder.regexes.concat(...texts.flatMap((text) => [this.#text(text), this.#space]));
  }

  #text(text: string): Regex {
    return this.builder.regexes.text(text);
  }

  #terminal(...parts: readonly Regex[]): Sym {
    return this.builder.terminal(this.builder.regexes.concat(...parts));
  }

  #rule(...alternatives: readonly (readonly Sym[])[]): Sym {
    return this.#recursive(() => alternatives);
  }

  #recursive(alternatives: (rule: Sym) => readonly (readonly Sym[])[]): Sym {
    const rule = this.builder.rule();
    this.builder.define(rule, alternatives(rule));
    return rule;
  }
}

/** The schema of arguments, which are an object even if it does not say so. */
function objectSchema(parameters: unknown = true): object {
  if (parameters === true) return { type: 'object' };
  if (!isRecord(parameters)) throw new GrammarError('must be a JSON Schema of objects');
  const { type } = parameters;
  if (type === 'object') return parameters;
  if (type === undefined || (Array.isArray(type) && type.includes('object'))) return { ...parameters, type: 'object' };
  throw new GrammarError('must be object', 'type');
}
