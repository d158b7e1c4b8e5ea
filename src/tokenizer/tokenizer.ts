import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { TOKEN_TYPES } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { byteLevelBpe, sentencePieceBpe } from './bpe.ts';
import { fromByteAlphabet, toByteAlphabet } from './byte-alphabet.ts';
import { PRE_TOKENIZERS, splitWords } from './pre-tokenizers.ts';
import type { PreTokenizer } from './pre-tokenizers.ts';
import { readVocabulary, specialPattern } from './vocabulary.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface EncodeOptions {
  /** Add BOS and EOS where the model wants them; no BOS before one that a chat template wrote. Default true. */
  addSpecial?: boolean;
  /** Read the text of a control token, such as `<|im_end|>`, as that token. Default false: typed text stays text. */
  parseSpecial?: boolean;
  /** Throw `context_overflow` as soon as the text is known to be longer, in tokens. */
  maxTokens?: number;
}

export interface Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  /** `encode` puts BOS first. */
  readonly addBos: boolean;
  /** Tokens that end an answer. */
  readonly eosIds: ReadonlySet<number>;
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * The text of tokens; control tokens have none. A SentencePiece prompt comes back with the space that `encode` put
   * before it. Bytes that are no UTF-8 give U+FFFD.
   */
  decode(ids: Iterable<number>): string;
  /** A control token or the unknown token: it has no text. */
  isSpecial(id: number): boolean;
  /** UTF-8 bytes of a token's text; may be half a character. */
  tokenBytes(id: number): Uint8Array;
  /** A token by itself, as people read it: its text, or a control token's name. */
  tokenText(id: number): string;
}

/** One of the two kinds of tokenizer: how plain text becomes ids, and an id bytes. */
interface Scheme {
  /** `text` begins the prompt or follows a special token. */
  words(text: string): Iterable<string>;
  pieces(word: string): string[];
  /** Ids of a piece that is no token. */
  fallback(piece: string): number[];
  bytes(text: string, type: number): Uint8Array;
  addBos: boolean;
}

/** A word longer than this (UTF-16 units) is merged in parts, so that time and memory stay linear in the text. */
const MAX_WORD = 16_384;
/** Characters of words whose ids are remembered. */
const CACHE_CHARS = 1 << 20;
const NOTHING = new Uint8Array(0);
const encoder = new TextEncoder();

/**
 * Builds the tokenizer a model file describes. Ids are llama.cpp's with two exceptions: a single word of more than
 * 16,384 characters is cut, and SentencePiece's merges never make a control token of text. Throws `unsupported` for an
 * unknown tokenizer or pre-tokenizer, `bad_file` for a vocabulary that contradicts itself.
 */
export function createTokenizer(metadata: TokenizerMetadata): Tokenizer {
  const vocabulary = readVocabulary(metadata);
  const { texts, ids, types } = vocabulary;
  const scheme = createScheme(metadata, vocabulary);
  const specials = [specialPattern(vocabulary, false), specialPattern(vocabulary, true)] as const;
  const { bosId, eosId } = metadata;
  const addBos = metadata.addBos ?? scheme.addBos;
  const addEos = metadata.addEos ?? false;
  requireId(metadata, 'bos_token_id', addBos, bosId);
  requireId(metadata, 'eos_token_id', addEos, eosId);

  const cache = new Map<string, number[]>();
  let cachedChars = 0;
  function encodeWord(word: string): number[] {
    const cached = cache.get(word);
    if (cached !== undefined) return cached;
    const result = scheme.pieces(word).flatMap((piece) => ids.get(piece) ?? scheme.fallback(piece));
    cachedChars += word.length;
    if (cachedChars > CACHE_CHARS) {
      cache.clear();
      cachedChars = word.length;
    }
    cache.set(word, result);
    return result;
  }

  function* encodeText(text: string, parseSpecial: boolean): Generator<number> {
    const special = specials[parseSpecial ? 1 : 0];
    // With one capture group, split gives plain text at even places and special tokens at odd ones.
    const parts = special === undefined ? [text] : text.split(special);
    for (const [place, part] of parts.entries()) {
      if (part === '') continue;
      if (place % 2 === 1) yield ids.get(part)!;
      else for (const word of scheme.words(part)) for (const cut of cutWord(word)) yield* encodeWord(cut);
    }
  }

  function tokenBytes(id: number): Uint8Array {
    const text = texts[id];
    const type = types[id];
    if (text === undefined || type === undefined || isSpecial(id) || type === TOKEN_TYPES.unused) return NOTHING;
    return type === TOKEN_TYPES.userDefined ? encoder.encode(text) : scheme.bytes(text, type);
  }

  function isSpecial(id: number): boolean {
    return types[id] === TOKEN_TYPES.control || types[id] === TOKEN_TYPES.unknown;
  }

  return {
    vocabSize: texts.length,
    bosId,
    addBos,
    eosIds: vocabulary.endIds,
    isSpecial,
    tokenBytes,
    tokenText: (id) => (isSpecial(id) ? (texts[id] ?? '') : new TextDecoder('utf-8', { ignoreBOM: true }).decode(tokenBytes(id))),
    encode(text, { addSpecial = true, parseSpecial = false, maxTokens = Infinity } = {}) {
      const result: number[] = [];
      const push = (id: number): void => {
        if (result.length >= maxTokens) {
          throw new ChunkwiseError('context_overflow', {
            field: 'prompt',
            reason: `longer than the ${maxTokens} tokens there is room for (${text.length} characters)`,
          });
        }
        result.push(id);
      };
      const hasBos = parseSpecial && bosId !== undefined && text.startsWith(texts[bosId]!);
      if (addSpecial && addBos && !hasBos) push(bosId!);
      for (const id of encodeText(text, parseSpecial)) push(id);
      if (addSpecial && addEos) push(eosId!);
      return result;
    },
    decode(ids) {
      const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
      let text = '';
      for (const id of ids) text += decoder.decode(tokenBytes(id), { stream: true });
      return text + decoder.decode();
    },
  };
}

function createScheme(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  switch (metadata.model) {
    case 'gpt2':
      return byteLevel(metadata, vocabulary);
    case 'llama':
      return sentencePiece(metadata, vocabulary);
    default:
      throw unsupported(metadata, 'tokenizer.ggml.model', `tokenizer '${metadata.model.slice(0, 80)}' (known: gpt2, llama)`);
  }
}

function byteLevel(metadata: TokenizerMetadata, { ids }: Vocabulary): Scheme {
  const pre = preTokenizer(metadata);
  const bpe = byteLevelBpe(metadata);
  return {
    words: (text) => splitWords(text, pre.patterns),
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
  const pre = PRE_TOKENIZERS.get(metadata.pre);
  if (pre === undefined) {
    const known = [...PRE_TOKENIZERS.keys()].join(', ');
    throw unsupported(metadata, key, `pre-tokenizer '${metadata.pre.slice(0, 80)}' (known: ${known})`);
  }
  return pre;
}

function sentencePiece(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  const { ids } = vocabulary;
  if (metadata.scores === undefined) {
    throw new ChunkwiseError('bad_file', {
      file: metadata.file,
      field: 'tokenizer.ggml.scores',
      reason: 'missing; a SentencePiece tokenizer cannot do without',
    });
  }
  // Where spaces only begin tokens, no merge crosses the place before a space.
  const spacesLead = !vocabulary.texts.some((text) => /[^▁]▁/u.test(text));
  const words = spacesLead ? [/▁*[^▁]+/gu] : [];
  const prefix = (metadata.addSpacePrefix ?? true) ? '▁' : '';
  return {
    words: (text) => splitWords(prefix + text.replaceAll(' ', '▁'), words),
    pieces: sentencePieceBpe(metadata, vocabulary, metadata.scores),
    fallback(piece) {
      return Array.from(encoder.encode(piece)).flatMap((byte) => {
        const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
        return ids.get(name) ?? metadata.unkId ?? [];
      });
    },
    bytes: (text, type) =>
      type === TOKEN_TYPES.byte
        ? Uint8Array.of(parseInt(text.slice(3, 5), 16))
        : encoder.encode(text.replaceAll('▁', ' ')),
    addBos: true,
  };
}

/** Cuts an overlong word, never between the halves of a surrogate pair. */
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

function unsupported(metadata: TokenizerMetadata, field: string, reason: string): ChunkwiseError {
  return new ChunkwiseError('unsupported', { file: metadata.file, field, reason });
}
