import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { TOKEN_TYPES } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { byteLevelBpe, sentencePieceBpe } from './bpe.ts';
import { fromByteAlphabet, toByteAlphabet } from './byte-alphabet.ts';
import { OWN_PRE_TOKENIZERS, PRE_TOKENIZERS, splitWords } from './pre-tokenizers.ts';
import type { PreTokenizer } from './pre-tokenizers.ts';
import type { Scheme } from './scheme.ts';
import { unigram } from './unigram.ts';
import type { Vocabulary } from './vocabulary.ts';
import { wordPiece } from './word-piece.ts';

const encoder = new TextEncoder();

/** Errors: `unsupported` for an unknown tokenizer or pre-tokenizer, `bad_file` where what it needs is missing. */
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

/** Characters without a token are the tokens of their bytes. */
const byteFallback =
  ({ unkId }: TokenizerMetadata, { ids }: Vocabulary): Scheme['fallback'] =>
  (piece) =>
    Array.from(encoder.encode(piece)).flatMap((byte) => {
      const name = `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
      return ids.get(name) ?? unkId ?? [];
    });

const bytesOfPiece: Scheme['bytes'] = (text, type) =>
  type === TOKEN_TYPES.byte ? Uint8Array.of(parseInt(text.slice(3, 5), 16)) : encoder.encode(text.replaceAll('▁', ' '));

/** Gemma 4's in GGUF files: SentencePiece's pieces by a list of merges, which cross no line's end (llama.cpp, src/llama-vocab.cpp). */
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
    fallback: byteFallback(metadata, vocabulary),
    bytes: bytesOfPiece,
    addBos: true,
  };
}

function unsupported(metadata: TokenizerMetadata, field: string, reason: string): ChunkwiseError {
  return new ChunkwiseError('unsupported', { file: metadata.file, field, reason });
}
