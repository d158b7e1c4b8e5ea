/** Sequences that can be computed side by side. Each has a slot: a region of the page table, a place for its next token. */
export const MAX_STREAMS = 4;
