/** Most tokens of a batch of few: the next one of each stream, or a token and the draft behind it that is verified. */
export const FEW_TOKENS = 8;
