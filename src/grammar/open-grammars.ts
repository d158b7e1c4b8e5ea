import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type Grammar, GrammarBuilder } from './grammar.ts';
import { schemaGrammar } from './json-schema/schema-grammar.ts';
import { Fuel, GrammarError } from './limits.ts';
import { ebnfGrammar } from './notations/ebnf.ts';
import { larkGrammar } from './notations/lark.ts';
import { choiceGrammar, regexGrammar } from './notations/regex.ts';
import { structuralTagGrammar } from './notations/structural-tag.ts';
import { toolCallGrammar } from './notations/tool-calls.ts';
import { Matcher } from './parser/matcher.ts';
import { TokenTrie } from './parser/token-trie.ts';
import { fieldOf, type ResponseFormat } from './response-format.ts';
import type { Grammars, GrammarVocabulary, NextTokens, TokenGrammar } from './token-grammar.ts';

/** Compiled grammars that are kept; the one longest unused goes first. */
const MOST_KEPT = 16;
/** Work that compiling one grammar may take: at most two seconds on a slow processor. */
const COMPILE_FUEL = 4_000_000;

interface Compiled {
  grammar: Grammar;
  ignored: readonly string[];
}

/** The grammars of a model's answers, compiled in this thread. Each is compiled once. */
export function openGrammars(vocabulary: () => GrammarVocabulary): Grammars {
  let opened: { trie: TokenTrie; controlTokens: ReadonlyMap<string, number> } | undefined;
  const kept = new Map<string, Compiled>();

  function open(): NonNullable<typeof opened> {
    const tokens = vocabulary();
    return { trie: new TokenTrie(tokens), controlTokens: tokens.controlTokens };
  }

  function compiled(format: ResponseFormat, controlTokens: ReadonlyMap<string, number>): Compiled {
    const key = JSON.stringify(format);
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
        const { trie, controlTokens } = (opened ??= open());
        const { grammar, ignored } = compiled(format, controlTokens);
        return new MatchedAnswer(new Matcher(grammar, trie), field, ignored);
      });
    },
    dispose: () => kept.clear(),
  };
}

function compile(format: ResponseFormat, controlTokens: ReadonlyMap<string, number>): Compiled {
  const builder = new GrammarBuilder(new Fuel(COMPILE_FUEL, 'the grammar'));
  const control = (name: string): number | undefined => controlTokens.get(name);
  const ignored: string[] = [];
  const schema = (value: unknown, options?: { strict?: boolean }): number => {
    const compiled = schemaGrammar(value, builder, options);
    ignored.push(...compiled.ignored);
    return compiled.root;
  };
  switch (format.type) {
    case 'json_object':
      return { grammar: builder.build(schema({ type: 'object' })), ignored };
    case 'json_schema':
      return { grammar: builder.build(schema(format.schema, { strict: format.strict ?? false })), ignored };
    case 'choice':
      return { grammar: builder.build(choiceGrammar(format.choices, builder)), ignored };
    case 'structural_tag':
      return { grammar: builder.build(structuralTagGrammar(format.tag, builder, control)), ignored };
    case 'tool_calls':
      return { grammar: builder.build(toolCallGrammar(format, builder, control)), ignored };
    case 'grammar':
      if (format.syntax === 'regex') return { grammar: builder.build(regexGrammar(format.grammar, builder)), ignored };
      if (format.syntax === 'lark')
        return { grammar: builder.build(larkGrammar(format.grammar, builder, control)), ignored };
      return { grammar: builder.build(ebnfGrammar(format.grammar, builder)), ignored };
  }
}

/** Runs `work`; what it refuses is said of `field`. */
function refusedAt<T>(field: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof GrammarError)) throw error;
    const { at, reason } = error;
    const place = /^(\d+):(\d+)$/.exec(at);
    const detail = place
      ? { field, reason: `line ${place[1]}, column ${place[2]}: ${reason}` }
      : { field: at === '' ? field : `${field}.${at}`, reason };
    throw new ChunkwiseError('bad_request', detail, { cause: error });
  }
}

class MatchedAnswer implements TokenGrammar {
  readonly first: NextTokens | undefined;

  constructor(
    private readonly matcher: Matcher,
    private readonly field: string,
    readonly ignored: readonly string[],
  ) {
    this.first = this.#next();
  }

  async follow(tokens: readonly number[]): Promise<NextTokens | undefined> {
    return refusedAt(this.field, () => {
      for (const token of tokens) {
        if (!this.matcher.accept(token))
          throw new Error(`grammar: token ${token} was sampled, but may not come here`);
      }
      return this.#next();
    });
  }

  async foresee(tokens: readonly number[]): Promise<Uint32Array<ArrayBuffer>[]> {
    return refusedAt(this.field, () => {
      const masks: Uint32Array<ArrayBuffer>[] = [];
      let accepted = 0;
      for (const token of tokens) {
        if (!this.matcher.accept(token)) break;
        accepted++;
        if (this.matcher.mustEnd) break;
        masks.push(this.matcher.mask());
      }
      this.matcher.rollback(accepted);
      return masks;
    });
  }

  dispose(): void {
    // Nothing is held but memory.
  }

  #next(): NextTokens | undefined {
    if (this.matcher.mustEnd) return undefined;
    return { mask: this.matcher.mask(), forcedText: textOf(this.matcher.forcedBytes()) };
  }
}

/** The whole characters at the beginning of `bytes`. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes, { stream: true });
}
