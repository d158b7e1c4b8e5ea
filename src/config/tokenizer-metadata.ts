/** What a model file says about its tokenizer, independent of how it was read: the `tokenizer.*` keys of a GGUF file. */
export interface TokenizerMetadata {
  /** The model file, named in errors. */
  file: string;
  /** `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` SentencePiece BPE, `bert` WordPiece. */
  model: string;
  /** `tokenizer.ggml.pre`: how text is cut into words before BPE. */
  pre?: string;
  /** Text is composed (Unicode's NFC) before it is cut. GGUF files do not say: there it is taken as it comes, as by llama.cpp. */
  composes?: boolean;
  /** Token texts in id order. */
  tokens: readonly string[];
  /** SentencePiece log-probabilities in id order: the higher, the sooner a token is merged. */
  scores?: ArrayLike<number>;
  /** One of `TOKEN_TYPES` per token. */
  tokenTypes?: ArrayLike<number>;
  /** BPE merges, soonest first: two token texts with a space between. */
  merges?: readonly string[];
  bosId?: number;
  eosId?: number;
  eotId?: number;
  eomId?: number;
  unkId?: number;
  addBos?: boolean;
  addEos?: boolean;
  addSpacePrefix?: boolean;
  /** Of WordPiece, whether capitals and accents are told apart; default: as its tokens do. */
  lowercases?: boolean;
  stripsAccents?: boolean;
  /** Jinja source of `tokenizer.chat_template`. */
  chatTemplate?: string;
}

/** Values of `tokenizer.ggml.token_type` (SentencePiece's piece types; llama.cpp, include/llama.h). */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
