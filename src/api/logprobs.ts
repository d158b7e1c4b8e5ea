import type { TokenChance, TokenLogprobs } from '../engine/types.ts';
import type { ChatLogprobs, ChatTokenLogprob, TextLogprobs } from './types.ts';

/** Log-probabilities of some tokens as OpenAI's chats have them. */
export function chatLogprobs(tokens: readonly TokenLogprobs[]): ChatLogprobs {
  const one = ({ token, logprob, bytes }: TokenChance): ChatTokenLogprob => ({ token, logprob, bytes: bytes.length > 0 ? [...bytes] : null });
  return { content: tokens.map((chance) => ({ ...one(chance), top_logprobs: chance.top.map(one) })), refusal: null };
}

/** The same as its completions have them; the first token begins at `offset` of the text. */
export function textLogprobs(tokens: readonly TokenLogprobs[], offset: number): TextLogprobs {
  let end = offset;
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: tokens.map(({ token }) => (end += token.length) - token.length),
  };
}
