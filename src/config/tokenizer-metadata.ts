/** A tokenizer's metadata, independent of the file format: the `tokenizer.*` keys of a GGUF file. */
export interface TokenizerMetadata {
  /** The model file, for error messages. */
  file: string;
  /** `tokenizer.ggml.model`: `gpt2` is byte-level BPE, `llama` SentencePiece BPE, `bert` WordPiece, `t5` SentencePiece's Unigram, `gemma4` SentencePiece BPE with merges. */
  model: string;
  /** `tokenizer.ggml.pre`: the pre-tokenizer, which cuts text into words before BPE. */
  pre?: string;
  /** Normalise text to Unicode NFC before it is cut. GGUF files have no key for it; llama.cpp does not normalise. */
  composes?: boolean;
  /** Token texts in id order. */
  tokens: readonly string[];
  /** SentencePiece log-probabilities in id order; tokens with a higher score merge first. */
  scores?: ArrayLike<number>;
  /** One of `TOKEN_TYPES` per token. */
  tokenTypes?: ArrayLike<number>;
  /** BPE merges by rank: two token texts with a space between. */
  merges?: readonly string[];
  bosId?: number;
  eosId?: number;
  eotId?: number;
  eomId?: number;
  unkId?: number;
  addBos?: boolean;
  addEos?: boolean;
  addSpacePrefix?: boolean;
  /** WordPiece: lowercase text and strip accents; default: derived from the vocabulary. */
  lowercases?: boolean;
  stripsAccents?: boolean;
  /** Unigram: replacements before text is cut, `tokenizer.ggml.precompiled_charsmap`; see `charsmap.ts`. */
  charsmap?: Uint8Array;
  /** `tokenizer.ggml.remove_extra_whitespaces` */
  mergesSpaces?: boolean;
  /**
   * How a `tokenizer.json` with Unigram treats spaces, as huggingface/tokenizers does; undefined: as llama.cpp does.
   */
  spaces?: UnigramSpaces;
  /** Jinja source of `tokenizer.chat_template`. */
  chatTemplate?: string;
}

/**
 * `cut`: words are separated by white space. `merged`: a run of spaces counts as one, which begins a word; at the end
 * of the text it is a word of its own. `trimmed`: `merged` without white space at the end.
 */
export const UNIGRAM_SPACES = ['cut', 'merged', 'trimmed'] as const;
export type UnigramSpaces = (typeof UNIGRAM_SPACES)[number];

/** Values of `tokenizer.ggml.token_type` (SentencePiece's piece types; llama.cpp, include/llama.h). */
export const TOKEN_TYPES = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;
