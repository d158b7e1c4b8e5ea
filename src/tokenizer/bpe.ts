import { BPE } from '@huggingface/tokenizers';
import { TOKEN_TYPES, type TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Vocabulary } from './vocabulary.ts';

/** Most characters of all pairs looked up, 48 times those of a usual vocabulary of 49,152 tokens, and of those kept. */
const MOST_LOOKED_UP = 2 ** 27;
const MOST_KEPT = 2 ** 25;

/** Merges the characters of a word into token texts. */
export type Bpe = (word: string) => string[];

/** Builds BPE from `merges`; a pair's rank is its index. */
export function byteLevelBpe(metadata: TokenizerMetadata): Bpe {
  const field = 'tokenizer.ggml.merges';
  if (metadata.merges === undefined) {
    const reason = 'missing; a byte-level tokenizer needs merges';
    throw new ChunkwiseError('bad_file', { file: metadata.file, field, reason });
  }
  const model = emptyModel();
  metadata.merges.forEach((merge, rank) => {
    // A token may begin with a space; the separating space comes later.
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
 * SentencePiece's BPE has no list of merges: two neighbours may merge if their joined text is a token; the highest
 * score goes first, then the leftmost. So every split of a token is a merge, ranked by the token's score.
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
      const reason = `tokens up to ${id} are too long and too many to find the merges that form them`;
      throw new ChunkwiseError('bad_file', { file: metadata.file, field: 'tokenizer.ggml.tokens', reason });
    }
  });
  return (word) => model.bpe(word);
}

/** Only the library's merge loop is used; its vocabulary would need an object with the tokens as keys. */
function emptyModel(): BPE {
  const model = new BPE({ type: 'BPE', vocab: {}, merges: [], ignore_merges: false });
  // Its cache moves a word to the end of a Map at each use, which is very slow in V8 for a frequent word.
  model.max_length_to_cache = 0;
  return model;
}

function rankPair(model: BPE, left: string, right: string, rank: number): void {
  const pair = JSON.stringify([left, right]);
  if (!model.bpe_ranks.has(pair)) model.bpe_ranks.set(pair, rank);
}
