import type { ResponseFormat } from './response-format.ts';

/** What grammars must know of a model's tokens. Plain data: it can be sent to a thread. */
export interface GrammarVocabulary {
  /** Logits of a row: tokens, and what a model has beyond its tokenizer's. */
  vocabSize: number;
  /** UTF-8 of the tokens' texts, one after the other; control tokens have none. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Where each token's bytes begin, and the last one's end: `[tokens + 1]`. */
  offsets: Uint32Array<ArrayBuffer>;
  /** Tokens that end an answer. */
  eosIds: readonly number[];
  /** Control tokens by name, such as `<|im_end|>`. */
  controlTokens: ReadonlyMap<string, number>;
}

/** What may come next in an answer. */
export interface NextTokens {
  /** A bit for each token that may come, lowest first: `[ceil(vocabSize / 32)]`. */
  mask: Uint32Array<ArrayBuffer>;
  /** Text that must come next; empty where there is a choice. */
  forcedText: string;
  /** In JSON, text that must come next but for white space, which is as it was before; empty where there is a choice. */
  likelyText: string;
}

/** What may come in one answer, token by token. Its methods are called one after the other. */
export interface TokenGrammar {
  /** Keywords of the schema that are not enforced because no validator reads them. */
  readonly ignored: readonly string[];
  /** At the beginning of the answer. */
  readonly first: NextTokens | undefined;
  /**
   * Goes on past tokens that may come, one after the other: what may come then; undefined at the answer's end. Errors:
   * `bad_request` where telling takes too long.
   */
  follow(tokens: readonly number[]): Promise<NextTokens | undefined>;
  /**
   * What may come after each of `tokens`, were they next, as far as they may come and something may follow. What may come
   * next stays what it was.
   */
  foresee(tokens: readonly number[]): Promise<NextTokens[]>;
  dispose(): void;
}

/** The grammars of a model's answers. */
export interface Grammars {
  /** Errors: `bad_request`, naming what is wrong with the format; `unsupported` where grammars cannot be loaded. */
  begin(format: ResponseFormat): Promise<TokenGrammar>;
  dispose(): void;
}
