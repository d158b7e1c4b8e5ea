import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { TOKEN_TYPES } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Scheme } from './scheme.ts';
import type { Vocabulary } from './vocabulary.ts';

/** A word of more characters is unknown as a whole. */
const MOST_WORD_CHARS = 100;
/** What is left out: characters without a look, but for spaces. */
const CONTROL = /[\0\uFFFD]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;
/** Each of these is a word: ideographs of Chinese, in the blocks that huggingface/tokenizers has. */
const IDEOGRAPH =
  /[\u3400-\u4DBF\u4E00-\u9FFF\uF900-\uFAFF\u{20000}-\u{2A6DF}\u{2A700}-\u{2B73F}\u{2B740}-\u{2B81F}\u{2B920}-\u{2CEAF}\u{2F800}-\u{2FA1F}]/gu;
const SPACES = /\p{White_Space}+/u;
/** The same of punctuation, and of all that ASCII has beside letters and digits. */
const PUNCTUATION = /([\p{P}$+<=>^`|~])/u;

const encoder = new TextEncoder();

/**
 * WordPiece (arXiv 1609.08144) as BERT has it (huggingface/tokenizers, bert.rs of normalizers and pre-tokenizers): words are
 * cut from their beginning into the longest tokens that there are. A token that begins a word has ▁ in front, as in GGUF files.
 */
export function wordPiece(metadata: TokenizerMetadata, vocabulary: Vocabulary): Scheme {
  const { unkId } = metadata;
  if (unkId === undefined) {
    throw new ChunkwiseError('bad_file', {
      file: metadata.file,
      field: 'tokenizer.ggml.unknown_token_id',
      reason: 'missing; a WordPiece tokenizer cannot do without',
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
  // Character by character: JavaScript has another sigma at a word's end.
  if (lowercases) clean = Array.from(clean, (char) => char.toLowerCase()).join('');
  return clean.split(SPACES).flatMap((run) => run.split(PUNCTUATION).filter((word) => word !== ''));
}

/** Nothing but an unknown token where a part is none; see `fallback`. */
function piecesOf(word: string, longest: number, ids: ReadonlyMap<string, number>): string[] {
  const unknown = [''];
  const chars = Array.from(word);
  if (chars.length > MOST_WORD_CHARS) return unknown;
  const pieces: string[] = [];
  for (let start = 0; start < chars.length;) {
    let end = Math.min(chars.length, start + longest);
    const piece = (): string => (start === 0 ? '▁' : '') + chars.slice(start, end).join('');
    while (end > start && !ids.has(piece())) end--;
    // A ▁ that is typed is not the one that begins a word.
    if (end === start || (start > 0 && chars[start] === '▁')) return unknown;
    pieces.push(piece());
    start = end;
  }
  return pieces;
}

/** Models that tell capitals apart have tokens with such; GGUF files say nothing else of it. */
const hasCapitals = ({ texts, types }: Vocabulary): boolean =>
  texts.some((text, id) => types[id] === TOKEN_TYPES.normal && !/^▁?\[/.test(text) && /\p{Lu}/u.test(text));
