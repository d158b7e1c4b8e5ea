import { ChunkwiseError } from '../../errors/chunkwise-error.ts';

/** What two models know of tokens: a file's name, and the tokens' texts in id order. */
interface Vocabulary {
  file: string;
  tokens: readonly string[];
}

/** The most tokens that one of the two may know beyond the other: files are padded. As llama.cpp has it (common/speculative.cpp). */
const MOST_UNSHARED = 128;

/** Errors: `unsupported` where a draft of `draft`'s tokens would be another text to `model`. */
export function checkSameTokens(draft: Vocabulary, model: Vocabulary): void {
  const refuse = (reason: string): never => {
    throw new ChunkwiseError('unsupported', {
      file: draft.file,
      field: 'tokenizer.ggml.tokens',
      reason: `${reason}; a draft model has the same tokens`,
    });
  };
  if (Math.abs(draft.tokens.length - model.tokens.length) > MOST_UNSHARED)
    refuse(`${draft.tokens.length} tokens, and ${model.file} has ${model.tokens.length}`);
  const shared = Math.min(draft.tokens.length, model.tokens.length);
  for (let id = 0; id < shared; id++) {
    if (draft.tokens[id] !== model.tokens[id])
      refuse(
        `token ${id} is ${JSON.stringify(draft.tokens[id])}, and of ${model.file} ${JSON.stringify(model.tokens[id])}`,
      );
  }
}
