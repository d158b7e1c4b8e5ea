/** Builds the package into dist/: one module for the page, and the worker that it starts. */
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  publicDir: false,
  build: {
    target: 'es2022',
    lib: { entry: 'src/api/index.ts', formats: ['es'], fileName: 'index' },
    sourcemap: true,
  },
  worker: { format: 'es' },
});
