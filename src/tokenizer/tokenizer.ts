import { TOKEN_TYPES, type TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { readVocabulary, type Scheme, specialPattern, type Vocabulary } from './vocabulary.ts';
import { byteLevelBpe, sentencePieceBpe } from './bpe.ts';
import { OWN_PRE_TOKENIZERS, PRE_TOKENIZERS, type PreTokenizer } from './pre-tokenizers.ts';
import { unigram } from './unigram.ts';
import { wordPiece } from './word-piece.ts';

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

/** Errors: `unsupported` for an unknown tokenizer or pre-tokenizer, `bad_file` for missing metadata. */
export function createScheme(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  switch (metadata.model) {
    case 'gpt2':
      return byteLevel(metadata, vocabulary);
    case 'llama':
      return sentencePiece(metadata, vocabulary);
    case 'bert':
      return wordPiece(metadata, vocabulary);
    case 't5':
      return unigram(metadata, vocabulary);
    case 'gemma4':
      return mergedSentencePiece(metadata, vocabulary);
    default:
      throw unsupported(
        metadata,
        'tokenizer.ggml.model',
        `tokenizer '${metadata.model.slice(0, 80)}' (known: gpt2, llama, bert, t5, gemma4)`,
      );
  }
}

function byteLevel(metadata: TokenizerMetadata, { ids }: Vocabulary): Scheme {
  const pre = preTokenizer(metadata);
  const bpe = byteLevelBpe(metadata);
  return {
    words: (text) => splitWords(metadata.composes ? text.normalize('NFC') : text, pre.patterns),
    pieces(word) {
      const bytes = toByteAlphabet(word);
      return pre.ignoreMerges === true && ids.has(bytes) ? [bytes] : bpe(bytes);
    },
    fallback: (piece) => [...piece].flatMap((char) => ids.get(char) ?? []),
    bytes: fromByteAlphabet,
    addBos: pre.addBos ?? false,
  };
}

function preTokenizer(metadata: TokenizerMetadata): PreTokenizer {
  const key = 'tokenizer.ggml.pre';
  if (metadata.pre === undefined) throw unsupported(metadata, key, 'the file does not say how text is cut into words');
  const pre = PRE_TOKENIZERS.get(metadata.pre) ?? OWN_PRE_TOKENIZERS.get(metadata.pre);
  if (pre === undefined) {
    const known = [...PRE_TOKENIZERS.keys()].join(', ');
    throw unsupported(metadata, key, `pre-tokenizer '${metadata.pre.slice(0, 80)}' (known: ${known})`);
  }
  return pre;
}

/** A character without a token becomes the tokens of its bytes. */
const byteFallback =
  ({ unkId }: TokenizerMetadata, { ids }: Vocabulary): Scheme['fallback'] =>
  (piece) =>
    Array.from(encoder.encode(piece)).flatMap((byte) => {
      const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
      return ids.get(name) ?? unkId ?? [];
    });

const bytesOfPiece: Scheme['bytes'] = (text, type) =>
  type === TOKEN_TYPES.byte ? Uint8Array.of(parseInt(text.slice(3, 5), 16)) : encoder.encode(text.replaceAll('▁', ' '));

/**
 * Gemma 4's tokenizer in GGUF files: SentencePiece with a list of merges that cross no line end (llama.cpp,
 * src/llama-vocab.cpp).
 */
function mergedSentencePiece(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  const bpe = byteLevelBpe(metadata);
  return {
    words: (text) => splitWords(text.replaceAll(' ', '▁'), [/[^\n]+|\n+/gu]),
    pieces: (word) => (word.startsWith('\n') && vocabulary.ids.has(word) ? [word] : bpe(word)),
    fallback: byteFallback(metadata, vocabulary),
    bytes: bytesOfPiece,
    addBos: true,
  };
}

function sentencePiece(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  if (metadata.scores === undefined) {
    throw new ChunkwiseError('bad_file', {
      file: metadata.file,
      field: 'tokenizer.ggml.scores',
      reason: 'missing; a SentencePiece tokenizer needs scores',
    });
  }
  // If spaces only begin tokens, no merge crosses the position before a space.
  const spacesLead = !vocabulary.texts.some((text) => /[^▁]▁/u.test(text));
  const words = spacesLead ? [/▁*[^▁]+/gu] : [];
  const prefix = (metadata.addSpacePrefix ?? true) ? '▁' : '';
  return {
    words: (text) => splitWords(prefix + text.replaceAll(' ', '▁'), words),
    pieces: sentencePieceBpe(metadata, vocabulary, metadata.scores),
    fallback: byteFallback(metadata, vocabulary),
    bytes: bytesOfPiece,
    addBos: true,
  };
}

function unsupported(metadata: TokenizerMetadata, field: string, reason: string): ChunkwiseError {
  return new ChunkwiseError('unsupported', { file: metadata.file, field, reason });
}

/** Cuts `text` into words, lazily, so that a caller can stop early. */
function* splitWords(text: string, patterns: readonly RegExp[]): Generator<string> {
  const [first, ...rest] = patterns;
  if (first === undefined) {
    if (text !== '') yield text;
    return;
  }
  let end = 0;
  for (const match of text.matchAll(first)) {
    if (match.index > end) yield* splitWords(text.slice(end, match.index), rest);
    yield* splitWords(match[0], rest);
    end = match.index + match[0].length;
  }
  if (end < text.length) yield* splitWords(text.slice(end), rest);
}

/**
 * GPT-2's byte alphabet: one printable character per byte, so that byte-level BPE works on strings. Printable Latin-1
 * bytes map to themselves, the others to U+0100 and up (OpenAI's GPT-2, encoder.py, bytes_to_unicode).
 */
const CHARS: string[] = [];
const BYTES = new Map<string, number>();

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const char = String.fromCharCode(isPrintable(byte) ? byte : next++);
  CHARS.push(char);
  BYTES.set(char, byte);
}

/** The UTF-8 bytes of `text`, one character per byte. A lone surrogate becomes U+FFFD. */
export function toByteAlphabet(text: string): string {
  let chars = '';
  for (const byte of encoder.encode(text)) chars += CHARS[byte];
  return chars;
}

/** The bytes of `chars`; a character outside the alphabet gives its own UTF-8 bytes. */
function fromByteAlphabet(chars: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of chars) {
    const byte = BYTES.get(char);
    if (byte === undefined) bytes.push(...encoder.encode(char));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
