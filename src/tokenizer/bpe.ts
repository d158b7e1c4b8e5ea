import { BPE } from '@huggingface/tokenizers';
import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { TOKEN_TYPES } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Characters of all pairs that are looked up, 48 times those of a usual vocabulary of 49,152, and of those that are kept. */
const MOST_LOOKED_UP = 2 ** 27;
const MOST_KEPT = 2 ** 25;

/** Merges the characters of a word into token texts. */
export type Bpe = (word: string) => string[];

/** Ranks each pair by its place among `merges`. */
export function byteLevelBpe(metadata: TokenizerMetadata): Bpe {
  const field = 'tokenizer.ggml.merges';
  if (metadata.merges === undefined) {
    const reason = 'missing; a byte-level tokenizer cannot do without';
    throw new ChunkwiseError('bad_file', { file: metadata.file, field, reason });
  }
  const model = emptyModel();
  metadata.merges.forEach((merge, rank) => {
    // A token may itself begin with a space; the one that divides the pair comes later.
    const space = merge.indexOf(' ', 1);
    if (space < 0 || space === merge.length - 1) {
      throw new ChunkwiseError('bad_file', {
        file: metadata.file,
        field,
        reason: `entry ${rank} is not two tokens with a space between: ${JSON.stringify(merge.slice(0, 80))}`,
      });
    }
    rankPair(model, merge.slice(0, space), merge.slice(space + 1), rank);
  });
  return (word) => model.bpe(word);
}

/**
 * SentencePiece's BPE has no list of merges: any two neighbours whose joined text is a token may be merged, the highest
 * score first, the leftmost of equals. So every division of a token is a merge, ranked by the token's score.
 */
export function sentencePieceBpe(
  metadata: TokenizerMetadata,
  { texts, ids, types }: Vocabulary,
  scores: ArrayLike<number>,
): Bpe {
  const model = emptyModel();
  const distinct = [...new Set(Array.from(scores))].sort((a, b) => b - a);
  const rankOfScore = new Map(distinct.map((score, rank) => [score, rank]));
  const lengths = new Set(texts.map((text) => text.length));
  const isToken = (text: string): boolean => lengths.has(text.length) && ids.has(text);
  let [lookedUp, kept] = [0, 0];
  const apart: number[] = [TOKEN_TYPES.unknown, TOKEN_TYPES.control, TOKEN_TYPES.byte];
  texts.forEach((token, id) => {
    if (apart.includes(types[id] ?? 0)) return;
    const rank = rankOfScore.get(scores[id] ?? 0) ?? 0;
    const chars = Array.from(token);
    const last = chars.pop();
    let left = '';
    for (const char of chars) {
      left += char;
      lookedUp += token.length;
      const right = token.slice(left.length);
      if ((left !== chars[0] && !isToken(left)) || (right !== last && !isToken(right))) continue;
      kept += token.length;
      rankPair(model, left, right, rank);
    }
    if (lookedUp > MOST_LOOKED_UP || kept > MOST_KEPT) {
      const reason = `tokens up to ${id} are too long, and too many, to be divided into the tokens that they are merged from`;
      throw new ChunkwiseError('bad_file', { file: metadata.file, field: 'tokenizer.ggml.tokens', reason });
    }
  });
  return (word) => model.bpe(word);
}

/** Only the library's merge loop is used; its vocabulary would have to be an object with the tokens as keys. */
function emptyModel(): BPE {
  const model = new BPE({ type: 'BPE', vocab: {}, merges: [], ignore_merges: false });
  // Its cache moves a word to the end of a Map at each use, which V8 slows down to a crawl for a frequent word.
  model.max_length_to_cache = 0;
  return model;
}

function rankPair(model: BPE, left: string, right: string, rank: number): void {
  const pair = JSON.stringify([left, right]);
  if (!model.bpe_ranks.has(pair)) model.bpe_ranks.set(pair, rank);
}
