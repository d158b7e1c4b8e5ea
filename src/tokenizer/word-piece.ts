import { TOKEN_TYPES, type TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Scheme, Vocabulary } from './vocabulary.ts';

/** A longer word is unknown as a whole. */
const MOST_WORD_CHARS = 100;
/** Removed characters: invisible ones except white space. */
const CONTROL = /[\0\uFFFD]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;
/** Chinese ideographs, each a word of its own; the same blocks as in huggingface/tokenizers. */
const IDEOGRAPH =
  /[\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{2F800}-\u{2FA1F}]/gu;
const SPACES = /\p{White_Space}+/u;
/** Punctuation and all ASCII signs, each a word of its own. */
const PUNCTUATION = /([\p{P}$+<=>^`|~])/u;

const encoder = new TextEncoder();

/**
 * BERT's WordPiece (arXiv 1609.08144; huggingface/tokenizers, bert.rs of normalizers and pre-tokenizers): splits a word
 * from its start into the longest matching tokens. A token that begins a word has ▁ in front, as in GGUF files.
 */
export function wordPiece(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  const { unkId } = metadata;
  if (unkId === undefined) {
    throw new ChunkwiseError('bad_file', {
      file: metadata.file,
      field: 'tokenizer.ggml.unknown_token_id',
      reason: 'missing; a WordPiece tokenizer needs it',
    });
  }
  const isCased = hasCapitals(vocabulary);
  const { lowercases = !isCased, stripsAccents = lowercases } = metadata;
  const longest = vocabulary.texts.reduce((most, text) => Math.max(most, text.length), 0);
  return {
    words: (text) => wordsOf(text, lowercases, stripsAccents),
    pieces: (word) => piecesOf(word, longest, vocabulary.ids),
    fallback: () => [unkId],
    bytes: (text) => encoder.encode(text.replaceAll('▁', ' ')),
    addBos: true,
    addEos: true,
  };
}

function wordsOf(text: string, lowercases: boolean, stripsAccents: boolean): string[] {
  let clean = text.replace(CONTROL, '').replace(IDEOGRAPH, ' $& ');
  if (stripsAccents) clean = clean.normalize('NFD').replace(/\p{Mn}/gu, '');
  // Character by character, because JavaScript lowercases a final sigma differently.
  if (lowercases) clean = Array.from(clean, (char) => char.toLowerCase()).join('');
  return clean.split(SPACES).flatMap((run) => run.split(PUNCTUATION).filter((word) => word !== ''));
}

/** The pieces of a word; only an unknown token if any part has no token; see `fallback`. */
function piecesOf(word: string, longest: number, ids: ReadonlyMap<string, number>): string[] {
  const unknown = [''];
  const chars = Array.from(word);
  if (chars.length > MOST_WORD_CHARS) return unknown;
  const pieces: string[] = [];
  for (let start = 0; start < chars.length;) {
    let end = Math.min(chars.length, start + longest);
    const piece = (): string => (start === 0 ? '▁' : '') + chars.slice(start, end).join('');
    while (end > start && !ids.has(piece())) end--;
    // A typed ▁ does not mark the start of a word.
    if (end === start || (start > 0 && chars[start] === '▁')) return unknown;
    pieces.push(piece());
    start = end;
  }
  return pieces;
}

/** Whether tokens contain capitals: the only sign in GGUF files of a cased model. */
const hasCapitals = ({ texts, types }: Vocabulary): boolean =>
  texts.some((text, id) => types[id] === TOKEN_TYPES.normal && !/^▁?\[/.test(text) && /\p{Lu}/u.test(text));
