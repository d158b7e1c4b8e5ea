import { TOKEN_TYPES, type TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { readCharsmap, replaceGraphemes, replaceLongest } from './charsmap.ts';
import type { Scheme, Vocabulary } from './vocabulary.ts';

/** Penalty of an unknown character below the worst token's score (huggingface/tokenizers, unigram/model.rs). */
const UNKNOWN_PENALTY = 10;
/** Lookups per character grow with the longest token; SentencePiece's default limit is 16 characters. */
const MOST_PIECE_CHARS = 256;

const MISSING = 'missing; a Unigram tokenizer needs it';

const encoder = new TextEncoder();

/**
 * SentencePiece's Unigram (arXiv 1804.10959; huggingface/tokenizers, models/unigram): splits a word into the tokens
 * with the largest sum of scores. Characters without a token become one unknown token, or their bytes if the vocabulary
 * has a token for each byte.
 */
export function unigram(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  const { unkId, scores } = metadata;
  if (unkId === undefined) return fail(metadata, 'bad_file', 'unknown_token_id', MISSING);
  if (scores === undefined) return fail(metadata, 'bad_file', 'scores', MISSING);
  return {
    words: wordCutter(metadata, vocabulary),
    pieces: pieceFinder(metadata, vocabulary, scores),
    fallback: () => [unkId],
    bytes: (text, type) =>
      type === TOKEN_TYPES.byte
        ? Uint8Array.of(parseInt(text.slice(3, 5), 16))
        : encoder.encode(text.replaceAll('▁', ' ')),
    addBos: false,
    addEos: true,
  };
}

/** Cuts text into words, each with ▁ in front. */
function wordCutter(metadata: TokenizerMetadata, { texts }: Vocabulary): Scheme['words'] {
  const { charsmap, mergesSpaces, spaces } = metadata;
  const map =
    charsmap && charsmap.length > 0
      ? readCharsmap(charsmap, (reason) => fail(metadata, 'bad_file', 'precompiled_charsmap', reason))
      : undefined;
  const replace = map ? (spaces === undefined ? replaceLongest : replaceGraphemes)(map) : (text: string) => text;
  if (spaces === undefined) {
    if (mergesSpaces !== true)
      fail(
        metadata,
        'unsupported',
        'remove_extra_whitespaces',
        'a Unigram tokenizer that keeps all spaces is not supported',
      );
    // Words are cut apart if no token crosses the position before a space.
    const spacesLead = !texts.some((text) => /[^▁]▁/u.test(text));
    return (text) => {
      const words = cutAt(replace(text.toWellFormed()), / +/).map((word) => `▁${word}`);
      return spacesLead ? words : [words.join('')];
    };
  }
  return (text) => {
    const replaced = replace(text.toWellFormed());
    if (spaces === 'cut') return cutAt(replaced, /\p{White_Space}+/u).flatMap(metaspace);
    return metaspace((spaces === 'trimmed' ? replaced.slice(0, endOf(replaced)) : replaced).replaceAll(/ +/g, '▁'));
  };
}

const cutAt = (text: string, spaces: RegExp): string[] => text.split(spaces).filter((word) => word !== '');

/** Cuts before each ▁ after adding one in front (huggingface/tokenizers, pre_tokenizers/metaspace.rs). */
const metaspace = (text: string): string[] =>
  text === '' ? [] : ((text.startsWith('▁') ? text : `▁${text}`).match(/▁[^▁]*/gu) ?? []);

/** End of a text without trailing white space. */
function endOf(text: string): number {
  let end = text.length;
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1]!)) end--;
  return end;
}

function pieceFinder(metadata: TokenizerMetadata, vocabulary: Vocabulary, scores: ArrayLike<number>): Scheme['pieces'] {
  const { texts, ids, types } = vocabulary;
  const pieces = sortedPieces(metadata, vocabulary);
  const unknownScore = pieces.reduce((least, id) => Math.min(least, scores[id]!), Infinity) - UNKNOWN_PENALTY;
  /**
   * Among pieces `from` to `to`, which agree before index `at`, the first one whose character there is at least `unit`.
   */
  const firstFrom = (unit: number, at: number, from: number, to: number): number => {
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (texts[pieces[middle]!]!.charCodeAt(at) < unit) from = middle + 1;
      else to = middle;
    }
    return from;
  };
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
  const hasBytes = bytes.every((name) => types[ids.get(name) ?? -1] === TOKEN_TYPES.byte);
  const unknown = (chars: string): string[] =>
    hasBytes ? Array.from(encoder.encode(chars), (byte) => bytes[byte]!) : [''];

  return (word) => {
    // For each end position: the best sum of scores, where the last piece begins, and whether it is unknown.
    const sums = new Float64Array(word.length + 1).fill(-Infinity);
    const starts = new Int32Array(word.length + 1);
    const isUnknown = new Uint8Array(word.length + 1);
    sums[0] = 0;
    const put = (start: number, end: number, score: number, asUnknown: 0 | 1): void => {
      const sum = sums[start]! + score;
      if (!(sum > sums[end]!)) return;
      sums[end] = sum;
      starts[end] = start;
      isUnknown[end] = asUnknown;
    };
    for (let start = 0, next = 0; start < word.length; start = next) {
      next = start + (word.codePointAt(start)! > 0xffff ? 2 : 1);
      let isKnown = false;
      for (let end = start, from = 0, to = pieces.length; end < word.length && from < to;) {
        const unit = word.charCodeAt(end);
        from = firstFrom(unit, end - start, from, to);
        to = firstFrom(unit + 1, end - start, from, to);
        end++;
        // A piece sorts before all pieces that it begins.
        if (from === to || texts[pieces[from]!]!.length !== end - start) continue;
        put(start, end, scores[pieces[from]!]!, 0);
        isKnown ||= end === next;
        from++;
      }
      if (!isKnown) put(start, next, unknownScore, 1);
    }
    const found: string[][] = [];
    for (let end = word.length; end > 0;) {
      let start = starts[end]!;
      if (isUnknown[end]) while (start > 0 && isUnknown[start]) start = starts[start]!;
      const piece = word.slice(start, end);
      found.push(isUnknown[end] ? unknown(piece) : [piece]);
      end = start;
    }
    return found.reverse().flat();
  };
}

/** Ids of normal tokens, sorted by text, so that tokens with a common prefix are neighbours. */
function sortedPieces(metadata: TokenizerMetadata, { texts, types }: Vocabulary): Uint32Array {
  const pieces = Uint32Array.from(texts.keys()).filter((id) => types[id] === TOKEN_TYPES.normal && texts[id] !== '');
  const long = pieces.find((id) => texts[id]!.length > MOST_PIECE_CHARS);
  if (long !== undefined)
    fail(
      metadata,
      'unsupported',
      'tokens',
      `token ${long} has ${texts[long]!.length} characters; Unigram supports at most ${MOST_PIECE_CHARS}`,
    );
  return pieces.sort((a, b) => (texts[a]! < texts[b]! ? -1 : 1));
}

function fail(metadata: TokenizerMetadata, code: 'bad_file' | 'unsupported', key: string, reason: string): never {
  throw new ChunkwiseError(code, { file: metadata.file, field: `tokenizer.ggml.${key}`, reason });
}
