/**
 * Builds the package into dist/: a module for each of its entries, and the code of the workers as text in chunks that
 * are imported on demand.
 */
import { defineConfig, type Plugin } from 'vite';
import { bareShaders } from './tools/bare-shaders.ts';
import { ENTRIES } from './tools/entries.ts';

/** A worker is text within a chunk: no map is found beside it. */
const withoutMap = (): Plugin => ({
  name: 'without-map',
  generateBundle(_, bundle) {
    for (const chunk of Object.values(bundle)) {
      if (chunk.type === 'chunk') chunk.code = chunk.code.replace(/\n\/\/# sourceMappingURL=.*\n?$/, '');
    }
  },
});

export default defineConfig({
  base: './',
  publicDir: false,
  build: {
    target: 'es2022',
    lib: { entry: ENTRIES, formats: ['es'] },
    rolldownOptions: {
      external: ['@mlc-ai/web-llm', 'react'],
      output: { entryFileNames: '[name].js', chunkFileNames: '[name].js', minify: true },
    },
    sourcemap: true,
  },
  worker: {
    format: 'es',
    plugins: () => [bareShaders(), withoutMap()],
    // It is text to all later tools, which need no hints.
    rolldownOptions: {
      output: { comments: { legal: true, annotation: false } },
      treeshake: { propertyReadSideEffects: false },
    },
  },
});
