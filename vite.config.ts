/**
 * Builds the package into dist/: a module for each of its entries, and the code of the workers as text in chunks that
 * are imported on demand.
 */
import { defineConfig } from 'vite';
import { bareShaders } from './tools/bare-shaders.ts';
import { ENTRIES } from './tools/entries.ts';

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
  worker: { format: 'es', plugins: () => [bareShaders()] },
});
