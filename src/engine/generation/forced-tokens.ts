import type { NextTokens } from '../../grammar/token-grammar.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** What may come next in an answer, by a model's tokens. */
export interface AllowedTokens {
  /** A bit for each token that may come: of forced text its first token alone, however many tokens a step takes. */
  mask: Uint32Array<ArrayBuffer>;
  /** Tokens that must come; none where there is a choice. */
  forced: readonly number[];
  /** Text that is likely to come. */
  likelyText: string;
}

const encoder = new TextEncoder();

/** Cuts forced text as the tokenizer does. */
export function allowedTokens(tokenizer: Tokenizer, { mask, forcedText, likelyText }: NextTokens): AllowedTokens {
  // The last token is left out: with the text after it the tokenizer may cut it in another way.
  const forced = tokensOf(tokenizer, forcedText).slice(0, -1);
  const [token] = forced;
  if (token === undefined) return { mask, forced, likelyText };
  const only = new Uint32Array(mask.length);
  only[token >>> 5] = 1 << (token & 31);
  return { mask: only, forced, likelyText };
}

/** The tokens of text in the middle of an answer; none where the tokenizer has no such. */
export function tokensOf(tokenizer: Tokenizer, text: string): number[] {
  if (text.length < 2) return [];
  const tokens = tokenizer.encode(text, { addSpecial: false });
  // Some tokenizers put a space first where a text begins.
  const bytes = tokens.flatMap((token) => [...tokenizer.tokenBytes(token)]);
  const whole = encoder.encode(text);
  return bytes.every((byte, i) => byte === whole[i]) ? tokens : [];
}
