/** Sequences in one batch. Each has a slot: a region of the page table and a place for its next token. */
export const MAX_SEQUENCES = 4;

/** Texts that go on from the tokens of one sequence in the same batch. Each has a region of the page table too. */
export const MAX_BRANCHES = 8;

/** Most tokens of a decode or verify batch: the next token of each sequence, or a token and its draft. */
export const FEW_TOKENS = 8;

/** Rank levels of an adapter; the directory on the GPU has room for this number. */
export const MAX_LEVELS = 6;
