import { TOKEN_TYPES, type TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { createScheme } from './schemes.ts';
import { readVocabulary, type Scheme, specialPattern, type Vocabulary } from './vocabulary.ts';

export interface EncodeOptions {
  /** Add BOS and EOS if the model uses them; no second BOS if a chat template wrote one. Default true. */
  addSpecial?: boolean;
  /** Parse the text of a control token, such as `<|im_end|>`, as that token. Default false: it stays text. */
  parseSpecial?: boolean;
  /** Throw `context_overflow` once the text exceeds this number of tokens. */
  maxTokens?: number;
  /** Field of that error; default `prompt`. */
  field?: string;
}

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  /** `encode` adds BOS. */
  readonly addBos: boolean;
  /** Tokens that end an answer. */
  readonly eosIds: ReadonlySet<number>;
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Decodes tokens; control tokens have no text. A SentencePiece prompt keeps the space that `encode` put before it.
   * Invalid UTF-8 gives U+FFFD.
   */
  decode(ids: Iterable<number>): string;
  /** A control token or the unknown token, which has no text. */
  isSpecial(id: number): boolean;
  /** UTF-8 bytes of a token's text, possibly part of a character. */
  tokenBytes(id: number): Uint8Array;
  /** A token in readable form: its text, or a control token's name. */
  tokenText(id: number): string;
}

/** Longer words (UTF-16 units) are merged in parts, so that time and memory stay linear in the text. */
const MAX_WORD = 16_384;
/** Characters of words in the cache of encoded words. */
const CACHE_CHARS = 1 << 20;
const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/**
 * Builds a model file's tokenizer. Ids equal llama.cpp's with two exceptions: a single word of more than 16,384
 * characters is cut, and SentencePiece's merges never form a control token from text. Throws `unsupported` for an
 * unknown tokenizer or pre-tokenizer, `bad_file` for an inconsistent vocabulary.
 */
export function createTokenizer(metadata: TokenizerMetadata): Tokenizer {
  const vocabulary = readVocabulary(metadata);
  const scheme = createScheme(metadata, vocabulary);
  const encodeText = textEncoder(vocabulary, scheme);
  const { bosId, eosId } = metadata;
  const addBos = metadata.addBos ?? scheme.addBos;
  const addEos = metadata.addEos ?? scheme.addEos ?? false;
  requireId(metadata, 'bos_token_id', addBos, bosId);
  requireId(metadata, 'eos_token_id', addEos, eosId);
  const bosText = bosId === undefined ? undefined : vocabulary.texts[bosId];
  return {
    vocabSize: vocabulary.texts.length,
    bosId,
    addBos,
    eosIds: vocabulary.endIds,
    ...tokenTexts(vocabulary, scheme),
    encode(text, { addSpecial = true, parseSpecial = false, maxTokens = Infinity, field = 'prompt' } = {}) {
      const result: number[] = [];
      const push = (id: number): void => {
        if (result.length >= maxTokens) {
          throw new ChunkwiseError('context_overflow', {
            field,
            reason: `longer than the ${maxTokens} tokens there is room for (${text.length} characters)`,
          });
        }
        result.push(id);
      };
      const hasBos = parseSpecial && bosText !== undefined && text.startsWith(bosText);
      if (addSpecial && addBos && !hasBos) push(bosId!);
      for (const id of encodeText(text, parseSpecial)) push(id);
      if (addSpecial && addEos) push(eosId!);
      return result;
    },
  };
}

/** Encodes text without BOS and EOS. */
function textEncoder(
  vocabulary: Vocabulary,
  scheme: Scheme,
): (text: string, parseSpecial: boolean) => Iterable<number> {
  const { ids } = vocabulary;
  const specials = [specialPattern(vocabulary, false), specialPattern(vocabulary, true)] as const;
  const encodeWord = remembering((word) =>
    scheme.pieces(word).flatMap((piece) => ids.get(piece) ?? scheme.fallback(piece)),
  );
  return function* (text, parseSpecial) {
    const special = specials[parseSpecial ? 1 : 0];
    // With one capture group, split gives plain text at even indices and special tokens at odd ones.
    const parts = special === undefined ? [text] : text.split(special);
    for (const [place, part] of parts.entries()) {
      if (part === '') continue;
      if (place % 2 === 1) yield ids.get(part)!;
      else for (const word of scheme.words(part)) for (const cut of cutWord(word)) yield* encodeWord(cut);
    }
  };
}

/** Caches the ids of recent words. */
function remembering(encode: (word: string) => number[]): (word: string) => number[] {
  const cache = new Map<string, number[]>();
  let cachedChars = 0;
  return (word) => {
    const cached = cache.get(word);
    if (cached !== undefined) return cached;
    const result = encode(word);
    cachedChars += word.length;
    if (cachedChars > CACHE_CHARS) {
      cache.clear();
      cachedChars = word.length;
    }
    cache.set(word, result);
    return result;
  };
}

/** Decodes ids. */
function tokenTexts(
  { texts, types }: Vocabulary,
  scheme: Scheme,
): Pick<Tokenizer, 'isSpecial' | 'tokenBytes' | 'tokenText' | 'decode'> {
  const newDecoder = (): TextDecoder => new TextDecoder('utf-8', { ignoreBOM: true });
  const isSpecial = (id: number): boolean => types[id] === TOKEN_TYPES.control || types[id] === TOKEN_TYPES.unknown;
  function tokenBytes(id: number): Uint8Array {
    const text = texts[id];
    const type = types[id];
    if (text === undefined || type === undefined || isSpecial(id) || type === TOKEN_TYPES.unused) return NOTHING;
    return type === TOKEN_TYPES.userDefined ? encoder.encode(text) : scheme.bytes(text, type);
  }
  return {
    isSpecial,
    tokenBytes,
    tokenText: (id) => (isSpecial(id) ? (texts[id] ?? '') : newDecoder().decode(tokenBytes(id))),
    decode(ids) {
      const decoder = newDecoder();
      let text = '';
      for (const id of ids) text += decoder.decode(tokenBytes(id), { stream: true });
      return text + decoder.decode();
    },
  };
}

/** Cuts an overlong word, but never between the halves of a surrogate pair. */
function* cutWord(word: string): Generator<string> {
  let start = 0;
  while (word.length - start > MAX_WORD) {
    const end = start + MAX_WORD - (word.codePointAt(start + MAX_WORD - 1)! > 0xffff ? 1 : 0);
    yield word.slice(start, end);
    start = end;
  }
  yield word.slice(start);
}

function requireId(metadata: TokenizerMetadata, key: string, wanted: boolean, id: number | undefined): void {
  if (!wanted || id !== undefined) return;
  throw new ChunkwiseError('bad_file', {
    file: metadata.file,
    field: `tokenizer.ggml.${key}`,
    reason: 'missing, though the tokenizer adds this token to every text',
  });
}

/** Turns arriving tokens into text; never returns part of a character. */
export class Detokenizer {
  readonly #decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(private readonly tokenizer: Pick<Tokenizer, 'tokenBytes'>) {}

  /** The characters that `id` completes; '' for a control token or an incomplete character. */
  push(id: number): string {
    return this.#decoder.decode(this.tokenizer.tokenBytes(id), { stream: true });
  }

  /** Returns U+FFFD for an incomplete character, else ''. The next `push` starts a new text. */
  flush(): string {
    return this.#decoder.decode();
  }
}

/** Ends a text stream before the first stop string, and holds back text that may begin one. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = '';
  #stopped = false;

  /** Empty strings among `stops` are ignored. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** `text` can be shown now; `stopped` is set once a stop string is complete, and no text follows. */
  push(text: string): { text: string; stopped: boolean } {
    if (this.#stopped) return { text: '', stopped: true };
    const pending = this.#held + text;
    const found = this.#stops.map((stop) => pending.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.#stopped = true;
      this.#held = '';
      return { text: pending.slice(0, Math.min(...found)), stopped: true };
    }
    const keep = Math.max(0, ...this.#stops.map((stop) => beginningAtEnd(pending, stop)));
    this.#held = pending.slice(pending.length - keep);
    return { text: pending.slice(0, pending.length - keep), stopped: false };
  }

  /** The held-back text, if the stream ends without a stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}

/** Number of characters at the end of `text` that may begin `tag`. */
export function beginningAtEnd(text: string, tag: string): number {
  for (let length = Math.min(text.length, tag.length - 1); length > 0; length--) {
    if (text.endsWith(tag.slice(0, length))) return length;
  }
  return 0;
}
