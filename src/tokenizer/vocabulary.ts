import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { TOKEN_TYPES } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** Texts that end an answer whatever the file says of them (llama.cpp, src/llama-vocab.cpp: end-of-generation tokens). */
const END_TEXTS = new Set([
  '<|eot_id|>',
  '<|eom_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|endoftext|>',
  '<|end_of_text|>',
  '<|return|>',
  '<|call|>',
  '<end_of_turn>',
  '<end_of_utterance>',
  '<EOT>',
  '_<EOT>',
  '[EOT]',
  '[EOS]',
  '<eos>',
  '</s>',
]);

/** Refuses lists of unequal length and ids that name no token. */
export function checkVocabulary(metadata: TokenizerMetadata): void {
  const bad = (key: string, reason: string): ChunkwiseError =>
    new ChunkwiseError('bad_file', { file: metadata.file, field: `tokenizer.ggml.${key}`, reason });
  const count = metadata.tokens.length;
  if (count === 0) throw bad('tokens', 'the vocabulary is empty');
  for (const [key, list] of [['scores', metadata.scores], ['token_type', metadata.tokenTypes]] as const) {
    if (list !== undefined && list.length !== count) throw bad(key, `${list.length} entries for ${count} tokens`);
  }
  if (metadata.scores !== undefined && Array.from(metadata.scores).some(Number.isNaN)) throw bad('scores', 'a score is NaN');
  const ids = {
    bos_token_id: metadata.bosId,
    eos_token_id: metadata.eosId,
    eot_token_id: metadata.eotId,
    eom_token_id: metadata.eomId,
    unknown_token_id: metadata.unkId,
  };
  for (const [key, id] of Object.entries(ids)) {
    if (id !== undefined && !(Number.isInteger(id) && id >= 0 && id < count)) {
      throw bad(key, `token ${id} is not among the ${count} of the vocabulary`);
    }
  }
}

/** Ids of the tokens that end an answer. */
export function endOfGeneration(metadata: TokenizerMetadata, ids: ReadonlyMap<string, number>): Set<number> {
  const named = [metadata.eosId, metadata.eotId, metadata.eomId, ...[...END_TEXTS].map((text) => ids.get(text))];
  return new Set(named.filter((id) => id !== undefined));
}

/**
 * Cuts text at the tokens that stand in it as such: user-defined ones always, control and unknown ones where
 * `parseSpecial` asks for it. Of several at one place the longest counts.
 */
export function specialPattern(metadata: TokenizerMetadata, parseSpecial: boolean): RegExp | undefined {
  const texts = metadata.tokens.filter((text, id) => {
    const type = metadata.tokenTypes?.[id];
    if (text === '') return false;
    if (type === TOKEN_TYPES.userDefined) return true;
    return parseSpecial && (type === TOKEN_TYPES.control || type === TOKEN_TYPES.unknown);
  });
  if (texts.length === 0) return undefined;
  texts.sort((a, b) => b.length - a.length);
  return new RegExp(`(${texts.map((text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|')})`, 'gu');
}
