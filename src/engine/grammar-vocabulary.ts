import type { GrammarVocabulary } from '../grammar/token-grammar.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';

/** What grammars must know of a tokenizer. `vocabSize`: logits of a row, which may be more than the tokenizer has tokens. */
export function grammarVocabulary(tokenizer: Tokenizer, vocabSize: number): GrammarVocabulary {
  const texts = Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenBytes(id));
  const offsets = new Uint32Array(texts.length + 1);
  texts.forEach(({ length }, id) => (offsets[id + 1] = (offsets[id] ?? 0) + length));
  const bytes = new Uint8Array(offsets.at(-1) ?? 0);
  texts.forEach((text, id) => bytes.set(text, offsets[id]));
  const controlTokens = new Map<string, number>();
  for (let id = 0; id < texts.length; id++) if (tokenizer.isSpecial(id)) controlTokens.set(tokenizer.tokenText(id), id);
  return { vocabSize, bytes, offsets, eosIds: [...tokenizer.eosIds], controlTokens };
}
