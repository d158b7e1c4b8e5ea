/** Most of a device's memory that a file chosen among several may take, and the memory where it is not told. */
const MODEL_SHARE = 0.25;
const DEFAULT_MEMORY_GIB = 4;

/** Most bytes of a model's file that is chosen among several, on a device with so much memory. */
export const modelBudget = (memoryGib: number | undefined): number =>
  (memoryGib ?? DEFAULT_MEMORY_GIB) * MODEL_SHARE * 2 ** 30;
