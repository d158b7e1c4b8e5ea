import type { TokenChance, TokenLogprobs } from '../engine/types.ts';
import type { ChatLogprobs, ChatTokenLogprob, TextLogprobs } from './types.ts';

/** Log-probabilities of some tokens as OpenAI's chats have them. */
export function chatLogprobs(tokens: readonly TokenLogprobs[]): ChatLogprobs {
  const one = ({ token, logprob, bytes }: TokenChance): ChatTokenLogprob => ({
    token,
    logprob,
    bytes: bytes.length > 0 ? [...bytes] : null,
  });
  return { content: tokens.map((chance) => ({ ...one(chance), top_logprobs: chance.top.map(one) })), refusal: null };
}

/** Tells where tokens begin in the text that they make, one behind another: within a character, where that begins. */
export function newPlaces(): (bytes: readonly number[]) => number {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let end = 0;
  return (bytes) => {
    const start = end;
    end += decoder.decode(Uint8Array.from(bytes), { stream: true }).length;
    return start;
  };
}

/** The same as its completions have them; `placeOf`: of the tokens of one text. */
export function textLogprobs(
  tokens: readonly TokenLogprobs[],
  placeOf: (bytes: readonly number[]) => number,
): TextLogprobs {
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: tokens.map(({ bytes }) => placeOf(bytes)),
  };
}
