import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { TOKEN_TYPES } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { createScheme } from './schemes.ts';
import type { Scheme } from './scheme.ts';
import { readVocabulary, specialPattern } from './vocabulary.ts';
import type { Vocabulary } from './vocabulary.ts';

export interface EncodeOptions {
  /** Add BOS and EOS where the model wants them; no BOS before one that a chat template wrote. Default true. */
  addSpecial?: boolean;
  /** Read the text of a control token, such as `<|im_end|>`, as that token. Default false: typed text stays text. */
  parseSpecial?: boolean;
  /** Throw `context_overflow` as soon as the text is known to be longer, in tokens. */
  maxTokens?: number;
  /** What that error names; default `prompt`. */
  field?: string;
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

/** From text to ids, without BOS and EOS. */
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
    // With one capture group, split gives plain text at even places and special tokens at odd ones.
    const parts = special === undefined ? [text] : text.split(special);
    for (const [place, part] of parts.entries()) {
      if (part === '') continue;
      if (place % 2 === 1) yield ids.get(part)!;
      else for (const word of scheme.words(part)) for (const cut of cutWord(word)) yield* encodeWord(cut);
    }
  };
}

/** Remembers what `encode` gave for the latest words. */
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

/** From ids to text. */
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
