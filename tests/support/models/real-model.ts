import { fileURLToPath } from 'node:url';

/** The default model, which the test command fetches before it runs the tests. */
export const REAL_MODEL = fileURLToPath(new URL('../../../models/SmolLM2-135M-Instruct.Q4_1.gguf', import.meta.url));
