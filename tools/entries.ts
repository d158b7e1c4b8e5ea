/**
 * Entries of the package by their file names in dist/; every one but `index` is imported as `chunkwise/NAME`.
 * package.json's `exports` must match.
 */
export const ENTRIES = {
  index: 'src/api/index.ts',
  'ai-sdk': 'src/ai-sdk/index.ts',
  react: 'src/react/index.ts',
  'service-worker': 'src/service-worker/index.ts',
  'web-llm': 'src/web-llm/index.ts',
};
