/** Builds the demo into dist-demo/, a folder for any static server; serves it with models/ beside it. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { serveModels } from './serve-models.ts';

const root = fileURLToPath(new URL('.', import.meta.url));

export default defineConfig({
  root,
  base: './',
  appType: 'mpa',
  plugins: [serveModels()],
  build: { target: 'es2022', outDir: '../dist-demo', emptyOutDir: true },
  worker: { format: 'es' },
});
