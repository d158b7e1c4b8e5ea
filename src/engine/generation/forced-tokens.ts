import type { NextTokens } from '../../grammar/token-grammar.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

const encoder = new TextEncoder();

/**
 * What may come next in an answer: where its text is forced, the token that the tokenizer cuts it into, however many tokens a
 * step takes.
 */
export function allowedNext(tokenizer: Tokenizer, next: NextTokens): Uint32Array<ArrayBuffer> {
  const [token] = forcedTokens(tokenizer, next);
  if (token === undefined) return next.mask;
  const mask = new Uint32Array(next.mask.length);
  mask[token >>> 5] = 1 << (token & 31);
  return mask;
}

/**
 * Tokens that must come next, as the tokenizer cuts their text; none where there is a choice. The text's last token is left
 * out: with the text after it the tokenizer may cut it in another way.
 */
export function forcedTokens(tokenizer: Tokenizer, { forcedText }: NextTokens): number[] {
  if (forcedText.length < 2) return [];
  const tokens = tokenizer.encode(forcedText, { addSpecial: false }).slice(0, -1);
  // Some tokenizers put a space first where a text begins.
  return isBeginning(
    tokens.flatMap((token) => [...tokenizer.tokenBytes(token)]),
    forcedText,
  )
    ? tokens
    : [];
}

function isBeginning(bytes: readonly number[], text: string): boolean {
  const whole = encoder.encode(text);
  return bytes.every((byte, i) => byte === whole[i]);
}
