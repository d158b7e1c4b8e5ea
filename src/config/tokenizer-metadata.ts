/** What a model file says about its tokenizer, independent of how it was read: the `tokenizer.*` keys of a GGUF file. */
export interface TokenizerMetadata {
  /** The model file, named in errors. */
  file: string;
  /** `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` SentencePiece BPE, `bert` WordPiece, `t5` SentencePiece's Unigram, `gemma4` SentencePiece BPE with merges. */
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
  /** Of Unigram, what is replaced in a text before it is cut: `tokenizer.ggml.precompiled_charsmap`; see `charsmap.ts`. */
  charsmap?: Uint8Array;
  /** `tokenizer.ggml.remove_extra_whitespaces` */
  mergesSpaces?: boolean;
  /** What a `tokenizer.json` with Unigram makes of spaces, where text is treated as by huggingface/tokenizers; else it is as by llama.cpp. */
  spaces?: UnigramSpaces;
  /** Jinja source of `tokenizer.chat_template`. */
  chatTemplate?: string;
}

/**
 * `cut`: words are what stands between white space. `merged`: several spaces are as one, which begins a word; at the end it is a
 * word of its own. `trimmed`: the same once white space at the end is left out.
 */
export const UNIGRAM_SPACES = ['cut', 'merged', 'trimmed'] as const;
export type UnigramSpaces = (typeof UNIGRAM_SPACES)[number];

/** Values of `tokenizer.ggml.token_type` (SentencePiece's piece types; llama.cpp, include/llama.h). */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
