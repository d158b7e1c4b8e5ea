import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type Grammar, GrammarBuilder, type Sym } from './grammar.ts';
import { schemaGrammar } from './json-schema/schema-grammar.ts';
import { GrammarError } from './limits.ts';
import { ebnfGrammar } from './notations/ebnf.ts';
import type { ControlTokens } from './notations/free-text.ts';
import { larkGrammar } from './notations/lark.ts';
import { choiceGrammar, regexGrammar } from './notations/regex.ts';
import { structuralTagGrammar } from './notations/structural-tag.ts';
import { toolCallGrammar } from './notations/tool-calls.ts';
import { Matcher } from './parser/matcher.ts';
import { TokenTrie } from './parser/token-trie.ts';
import { fieldOf, type ResponseFormat } from './response-format.ts';
import { isJsonSpace, JsonStyle } from './json-style.ts';
import type { Grammars, GrammarVocabulary, NextTokens, TokenGrammar } from './token-grammar.ts';

/** Most compiled grammars in the cache; the least recently used is evicted first. */
const MOST_KEPT = 16;

/**
 * Most model tokens of white space between two JSON tokens, so that a model cannot stay in it. A line break with its
 * indentation takes one or two.
 */
const MOST_SPACES = 8;
/** Most bytes of likely text. */
const MOST_LIKELY = 64;

interface OpenVocabulary {
  trie: TokenTrie;
  controlTokens: ReadonlyMap<string, number>;
  spaces: WhiteSpaceTokens;
}

interface Compiled {
  grammar: Grammar;
  ignored: readonly string[];
}

/** Compiles the grammars of a model's answers in this thread, and caches them. */
export function openGrammars(vocabulary: () => GrammarVocabulary): Grammars {
  let opened: OpenVocabulary | undefined;
  const kept = new Map<string, Compiled>();

  function open(): OpenVocabulary {
    const tokens = vocabulary();
    return { trie: new TokenTrie(tokens), controlTokens: tokens.controlTokens, spaces: whiteSpaceTokens(tokens) };
  }

  function compiled(key: string, format: ResponseFormat, controlTokens: ReadonlyMap<string, number>): Compiled {
    const known = kept.get(key) ?? compile(format, controlTokens);
    kept.delete(key);
    kept.set(key, known);
    for (const oldest of kept.keys()) {
      if (kept.size <= MOST_KEPT) break;
      kept.delete(oldest);
    }
    return known;
  }

  return {
    async begin(format) {
      const field = fieldOf(format);
      return refusedAt(field, () => {
        const { trie, controlTokens, spaces } = (opened ??= open());
        const key = JSON.stringify({ ...format, field: undefined });
        const { grammar, ignored } = compiled(key, format, controlTokens);
        const isJson = format.type === 'json_object' || format.type === 'json_schema';
        return new MatchedAnswer(new Matcher(grammar, trie), {
          ...{ field, ignored },
          spaces: isJson ? spaces : undefined,
          onRefused: () => void kept.delete(key), // drops the states computed so far
        });
      });
    },
    dispose: () => kept.clear(),
  };
}

function compile(format: ResponseFormat, controlTokens: ReadonlyMap<string, number>): Compiled {
  const control = (name: string): number | undefined => controlTokens.get(name);
  if (format.type === 'tool_calls') return compileCalls(format, control);
  const builder = new GrammarBuilder();
  const { root, ignored = [] } = rootOf(format, builder, control);
  return { grammar: builder.build(root), ignored };
}

function rootOf(
  format: Exclude<ResponseFormat, { type: 'tool_calls' }>,
  builder: GrammarBuilder,
  control: ControlTokens,
): { root: Sym; ignored?: readonly string[] } {
  switch (format.type) {
    case 'json_object':
      return schemaGrammar({ type: 'object' }, builder);
    case 'json_schema':
      return schemaGrammar(format.schema, builder, { strict: format.strict ?? false });
    case 'choice':
      return { root: choiceGrammar(format.choices, builder) };
    case 'structural_tag':
      return { root: structuralTagGrammar(format.tag, builder, control) };
    case 'grammar':
      if (format.syntax === 'regex') return { root: regexGrammar(format.grammar, builder) };
      if (format.syntax === 'lark') return { root: larkGrammar(format.grammar, builder, control) };
      return { root: ebnfGrammar(format.grammar, builder, control) };
  }
}

/**
 * If the schema of a tool that is not strict cannot be enforced, its arguments may be any object, or, if that is not
 * possible either, the answer any text.
 */
function compileCalls(format: Extract<ResponseFormat, { type: 'tool_calls' }>, control: ControlTokens): Compiled {
  const ignored: string[] = [];
  let { tools } = format;
  for (;;) {
    const builder = new GrammarBuilder();
    try {
      return { grammar: builder.build(toolCallGrammar({ ...format, tools }, builder, control)), ignored };
    } catch (error) {
      if (!(error instanceof GrammarError)) throw error;
      const place = Number(/^(\d+)/.exec(error.at)?.[1] ?? NaN);
      const tool = tools[place];
      if (tool?.strict ?? tools.some(({ strict }) => strict)) throw error;
      ignored.push(`${error.at}: ${error.reason}`);
      if (tool?.parameters === undefined) return { grammar: anyText(), ignored };
      tools = tools.map((each, i) => (i === place ? { name: each.name } : each));
    }
  }
}

function anyText(): Grammar {
  const builder = new GrammarBuilder();
  return builder.build(builder.terminal(builder.regexes.anyText));
}

/** Runs `work`, and turns a `GrammarError` into a `bad_request` for `field`. */
function refusedAt<T>(field: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    const { at, reason } = error;
    const place = /^(\d+):(\d+)$/.exec(at);
    const detail = place
      ? { field, reason: `line ${place[1]}, column ${place[2]}: ${reason}` }
      : { field: at === '' ? field : `${field}.${at}`.replace(/^tools\.(\d+)/, 'tools[$1]'), reason };
    throw new ChunkwiseError('bad_request', detail, { cause: error });
  }
}

/** Tokens that consist of JSON white space. */
interface WhiteSpaceTokens {
  /** One bit for each token of the vocabulary. */
  bits: Uint32Array<ArrayBuffer>;
  /** Tokens of one character that is valid only in strings. */
  inStrings: readonly number[];
}

function whiteSpaceTokens({ vocabSize, bytes, offsets }: GrammarVocabulary): WhiteSpaceTokens {
  const bits = new Uint32Array(Math.ceil(vocabSize / 32));
  const inStrings: number[] = [];
  for (let id = 0; id + 1 < offsets.length && id < vocabSize; id++) {
    const text = bytes.subarray(offsets[id], offsets[id + 1]);
    if (text.length > 0 && text.every(isJsonSpace)) bits[id >>> 5]! |= 1 << (id & 31);
    if (text.length === 1 && text[0] === 0x21) inStrings.push(id); // an exclamation mark
  }
  return { bits, inStrings };
}

const hasBit = (mask: Uint32Array, token: number): boolean => (((mask[token >>> 5] ?? 0) >>> (token & 31)) & 1) === 1;

interface AnswerOptions {
  /** Request field that errors name. */
  field: string;
  ignored: readonly string[];
  /** Set if the answer is JSON. */
  spaces: WhiteSpaceTokens | undefined;
  /** Called before an error is thrown. */
  onRefused: () => void;
}

class MatchedAnswer implements TokenGrammar {
  readonly first: NextTokens | undefined;
  readonly ignored: readonly string[];
  /** Number of white space tokens at the end of the answer. */
  #spaces = 0;
  #style: JsonStyle | undefined;

  constructor(
    private readonly matcher: Matcher,
    private readonly options: AnswerOptions,
  ) {
    this.ignored = options.ignored;
    this.#style = options.spaces && new JsonStyle();
    this.first = this.#refused(() => this.#next());
  }

  async follow(tokens: readonly number[]): Promise<NextTokens | undefined> {
    return this.#refused(() => {
      for (const token of tokens) {
        // The mask allowed the token: a refusal means that following it takes too much work.
        if (!this.matcher.accept(token)) throw new GrammarError('takes more work to follow than is allowed');
        this.#count(token);
      }
      return this.#next();
    });
  }

  async foresee(tokens: readonly number[]): Promise<NextTokens[]> {
    return this.#refused(() => {
      const after: NextTokens[] = [];
      const spaces = this.#spaces;
      const style = this.#style?.copy();
      let accepted = 0;
      try {
        for (const token of tokens) {
          if (!this.matcher.accept(token)) break;
          accepted++;
          this.#count(token);
          const next = this.#next();
          if (!next) break;
          after.push(next);
        }
        return after;
      } finally {
        this.matcher.rollback(accepted);
        this.#spaces = spaces;
        this.#style = style;
      }
    });
  }

  dispose(): void {
    // Memory is the only resource.
  }

  #next(): NextTokens | undefined {
    if (this.matcher.mustEnd) return undefined;
    const mask = this.#mask();
    const forcedText = textOf(this.matcher.forcedBytes());
    return { mask, forcedText, likelyText: this.#style ? this.#likelyText(this.#style) : '' };
  }

  #likelyText(style: JsonStyle): string {
    return textOf(this.matcher.likelyBytes(style, MOST_LIKELY));
  }

  #refused<T>(work: () => T): T {
    try {
      return refusedAt(this.options.field, work);
    } catch (error) {
      this.options.onRefused();
      throw error;
    }
  }

  #count(token: number): void {
    const { spaces } = this.options;
    this.#style?.push(this.matcher.textOf(token));
    this.#spaces = spaces && hasBit(spaces.bits, token) ? this.#spaces + 1 : 0;
  }

  #mask(): Uint32Array<ArrayBuffer> {
    const mask = this.matcher.mask();
    const { spaces } = this.options;
    if (!spaces || this.#spaces < MOST_SPACES || spaces.inStrings.some((token) => hasBit(mask, token))) return mask;
    const { bits } = spaces;
    const rest = mask.map((word, i) => word & ~bits[i]!);
    return rest.some((word) => word !== 0) ? rest : mask;
  }
}

/** Complete characters at the start of `bytes`; none if `bytes` starts within a character. */
function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: true });
  } catch {
    return '';
  }
}
