/**
 * Builds the package into dist/: a module for each entry of package.json's exports, and the code of the workers as text
 * in chunks that are imported on demand.
 */
import { defineConfig } from 'vite';

/** Every one but `.` is named as it is imported: `chunkwise/NAME`. */
const ENTRIES = {
  index: 'src/api/index.ts',
};

export default defineConfig({
  base: './',
  publicDir: false,
  build: {
    target: 'es2022',
    lib: { entry: ENTRIES, formats: ['es'] },
    rolldownOptions: { output: { entryFileNames: '[name].js', chunkFileNames: '[name].js' } },
    sourcemap: true,
  },
  worker: { format: 'es' },
});
