import type { ResponseFormat } from './response-format.ts';

/** The tokens of a model, as grammars need them. Plain data: it can be sent to a thread. */
export interface GrammarVocabulary {
  /** Logits of a row, which may exceed the tokenizer's tokens. */
  vocabSize: number;
  /** UTF-8 texts of the tokens, one after the other; control tokens have none. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Start of each token's bytes, and the end of the last token's: `[tokens + 1]`. */
  offsets: Uint32Array<ArrayBuffer>;
  /** Tokens that end an answer. */
  eosIds: readonly number[];
  /** Control tokens by name, such as `<|im_end|>`. */
  controlTokens: ReadonlyMap<string, number>;
}

/** Tokens and text that may come next in an answer. */
export interface NextTokens {
  /** One bit for each token, lowest bit first, set if the token may come: `[ceil(vocabSize / 32)]`. */
  mask: Uint32Array<ArrayBuffer>;
  /** Text that must come next; empty if there is a choice. */
  forcedText: string;
  /** In JSON, text that must come next, with white space as earlier in the answer; empty if there is a choice. */
  likelyText: string;
}

/** Constrains one answer, token by token. Calls of its methods must not overlap. */
export interface TokenGrammar {
  /** Keywords of the schema that are not enforced, because no validator reads them. */
  readonly ignored: readonly string[];
  /** Next tokens at the start of the answer. */
  readonly first: NextTokens | undefined;
  /**
   * Accepts tokens, each of which must be allowed, and returns the next tokens; undefined at the end of the answer.
   * Errors: `bad_request` if this takes too much work.
   */
  follow(tokens: readonly number[]): Promise<NextTokens | undefined>;
  /**
   * Returns the next tokens after each of `tokens`, up to the first one that is not allowed or ends the answer. Leaves
   * the state unchanged.
   */
  foresee(tokens: readonly number[]): Promise<NextTokens[]>;
  dispose(): void;
}

/** Opens grammars for a model's answers. */
export interface Grammars {
  /** Errors: `bad_request`, naming the fault in the format; `unsupported` if grammars cannot be loaded. */
  begin(format: ResponseFormat): Promise<TokenGrammar>;
  dispose(): void;
}
