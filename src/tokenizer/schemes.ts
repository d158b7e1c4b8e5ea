import { TOKEN_TYPES, type TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { byteLevelBpe, sentencePieceBpe } from './bpe.ts';
import { OWN_PRE_TOKENIZERS, PRE_TOKENIZERS, type PreTokenizer } from './pre-tokenizers.ts';
import type { Scheme, Vocabulary } from './vocabulary.ts';
import { unigram } from './unigram.ts';
import { wordPiece } from './word-piece.ts';

const encoder = new TextEncoder();

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
