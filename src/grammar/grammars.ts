import type { CompiledGrammar, GrammarCompiler, GrammarMatcher } from '@mlc-ai/web-xgrammar';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { tooLarge } from './grammar-size.ts';
import { schemaGrammar } from './json-schema.ts';
import type { ResponseFormat } from './response-format.ts';
import type { LoadXgrammar, Xgrammar } from './xgrammar.ts';

/** What grammars must know of a model's tokenizer. */
export interface GrammarVocabulary {
  /** Logits of a row: tokens, and what a model has beyond its tokenizer's. */
  vocabSize: number;
  /** UTF-8 bytes of a token's text; none of one that no text has. */
  tokenBytes(id: number): Uint8Array;
  /** Tokens that end an answer. */
  eosIds: ReadonlySet<number>;
  /** A text for each byte, of one character: GPT-2's alphabet, which the library reads. */
  byteText(bytes: Uint8Array): string;
}

/** Compiled grammars that are kept; the one longest unused goes first. */
const MOST_KEPT = 16;
/** What the library refuses leaves something on its stack: after some 80 it hangs, or reads nothing more. */
const MOST_REFUSED = 20;

/** Grammars of a model's answers: each is compiled once, the library loaded with the first. */
export class Grammars {
  readonly #compiled = new Map<string, CompiledGrammar>();
  #library: Promise<{ xgrammar: Xgrammar; compiler: GrammarCompiler }> | undefined;
  /** Grammars that it has refused. */
  #refused = 0;
  /** One begins after the other, so that what one is about to use none gives up. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly vocabulary: GrammarVocabulary,
    private readonly load: LoadXgrammar,
  ) {}

  /**
   * A matcher at the beginning of an answer. Errors: `bad_request`, naming what is wrong with the schema or that the
   * grammar is; `unsupported` when the library cannot be loaded.
   */
  begin(format: ResponseFormat): Promise<TokenGrammar> {
    const begun = this.#turn.then(() => this.#begin(format));
    this.#turn = begun.catch(() => undefined);
    return begun;
  }

  async #begin(format: ResponseFormat): Promise<TokenGrammar> {
    const ebnf = format.type === 'grammar' ? format.grammar : schemaGrammar(schemaOf(format));
    const reason = tooLarge(ebnf);
    if (reason !== undefined) throw new ChunkwiseError('bad_request', { field: fieldOf(format), reason });
    const { xgrammar, compiled } = await this.#compile(ebnf, format);
    this.#keep(ebnf, compiled);
    return new TokenGrammar(await xgrammar.GrammarMatcher.createGrammarMatcher(compiled), fieldOf(format));
  }

  async #compile(ebnf: string, format: ResponseFormat): Promise<{ xgrammar: Xgrammar; compiled: CompiledGrammar }> {
    for (let isFresh = !this.#library; ; isFresh = true) {
      this.#library ??= this.#open();
      const { xgrammar, compiler } = await this.#library.catch((cause: unknown) => {
        this.#library = undefined; // a later request may have better luck
        throw new ChunkwiseError(
          'unsupported',
          { field: 'response_format', reason: `grammars cannot be loaded: ${String(cause)}` },
          { cause },
        );
      });
      try {
        return { xgrammar, compiled: this.#compiled.get(ebnf) ?? (await compile(xgrammar, compiler, ebnf, format)) };
      } catch (error) {
        const isRefused = isRefusal(error);
        if (!isRefused || ++this.#refused === MOST_REFUSED) this.#giveUp();
        // Where it failed, that may be the fault of what it refused before: another one is asked.
        if (isRefused || isFresh) throw error;
      }
    }
  }

  async #open(): Promise<{ xgrammar: Xgrammar; compiler: GrammarCompiler }> {
    const { vocabulary } = this;
    const { vocabSize, eosIds } = vocabulary;
    const xgrammar = await this.load();
    const texts = Array.from({ length: vocabSize }, (_, id) => vocabulary.byteText(vocabulary.tokenBytes(id)));
    const info = await xgrammar.TokenizerInfo.createTokenizerInfo(texts, 'byte_level', false, vocabSize, [...eosIds]);
    // What it would keep by itself it keeps without an end.
    return { xgrammar, compiler: await xgrammar.GrammarCompiler.createGrammarCompiler(info, false) };
  }

  /** The next grammar gets another library. Matchers keep what they need of this one. */
  #giveUp(): void {
    this.#library = undefined;
    this.#compiled.clear();
    this.#refused = 0;
  }

  #keep(ebnf: string, compiled: CompiledGrammar): void {
    this.#compiled.delete(ebnf);
    this.#compiled.set(ebnf, compiled);
    for (const [oldest, unused] of this.#compiled) {
      if (this.#compiled.size <= MOST_KEPT) break;
      this.#compiled.delete(oldest);
      unused.dispose(); // matchers hold what they need of it
    }
  }
}

const fieldOf = ({ type }: ResponseFormat): string =>
  type === 'grammar' ? 'response_format.grammar' : 'response_format.json_schema.schema';

const schemaOf = (format: Exclude<ResponseFormat, { type: 'grammar' }>): unknown =>
  format.type === 'json_schema' ? format.schema : { type: 'object' };

async function compile(
  { Grammar }: Xgrammar,
  compiler: GrammarCompiler,
  ebnf: string,
  format: ResponseFormat,
): Promise<CompiledGrammar> {
  let reason = 'cannot be read as a grammar; the console says why';
  try {
    const grammar = await Grammar.fromEBNF(ebnf);
    reason = 'cannot be compiled';
    const compiled = await compiler.compileGrammar(grammar);
    grammar.dispose();
    return compiled;
  } catch (cause) {
    throw new ChunkwiseError('bad_request', { field: fieldOf(format), reason }, { cause });
  }
}

/** Whether the library said itself what is wrong; otherwise it failed. */
const isRefusal = (error: unknown): boolean => {
  const { cause } = error as Error;
  return cause instanceof Error && cause.message.startsWith('Aborted');
};

/** What may follow in an answer, token by token. */
export class TokenGrammar {
  constructor(
    private readonly matcher: GrammarMatcher,
    /** Names it in errors. */
    private readonly field: string,
  ) {}

  /**
   * A bit for each token that may come next, the lowest first, or undefined when the answer is at its end. Errors:
   * `bad_request` where no token may come, and the answer may not end either.
   */
  async allowed(): Promise<Uint32Array<ArrayBuffer> | undefined> {
    const mask = await this.#mask();
    if (mask || this.matcher.isTerminated()) return mask;
    throw new ChunkwiseError('bad_request', {
      field: this.field,
      reason: 'leads to where no token may follow, and the answer may not end',
    });
  }

  async #mask(): Promise<Uint32Array<ArrayBuffer> | undefined> {
    if (this.matcher.isTerminated()) return undefined;
    const words = new Uint32Array(await this.matcher.getNextTokenBitmask());
    return words.some((word) => word !== 0) ? words : undefined;
  }

  /** Goes on past tokens that may come next, one behind another: what may come then. */
  follow(...tokens: readonly number[]): Promise<Uint32Array<ArrayBuffer> | undefined> {
    for (const token of tokens) {
      if (!this.matcher.acceptToken(token)) throw new Error(`grammar: token ${token} was drawn, but may not come here`);
    }
    return this.allowed();
  }

  /**
   * What may come behind each of `tokens`, were they next, as far as they may come and something may follow. What is
   * allowed next stays what it was.
   */
  async foresee(tokens: readonly number[]): Promise<Uint32Array<ArrayBuffer>[]> {
    const masks: Uint32Array<ArrayBuffer>[] = [];
    let accepted = 0;
    for (const token of tokens) {
      if (!this.matcher.acceptToken(token)) break;
      accepted++;
      const mask = await this.#mask();
      if (!mask) break;
      masks.push(mask);
    }
    if (accepted > 0) this.matcher.rollBack(accepted);
    return masks;
  }

  dispose(): void {
    this.matcher.dispose();
  }
}
