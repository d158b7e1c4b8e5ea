/** Levels that an adapter's ranks may have: the directory on the GPU has room for so many. */
export const MAX_LEVELS = 6;
