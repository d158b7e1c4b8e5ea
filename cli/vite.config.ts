/**
 * Builds the package's Node part into dist/node/: its main module and the command line, with shared code. WebGPU comes
 * from the package `webgpu` if installed.
 */
import { defineConfig } from 'vite';

export default defineConfig({
  publicDir: false,
  ssr: { noExternal: true, external: ['webgpu'] },
  build: {
    ssr: true,
    outDir: 'dist/node',
    target: 'node20',
    minify: true,
    rolldownOptions: {
      input: { index: 'src/node/index.ts', main: 'cli/main.ts' },
      output: {
        banner: ({ name }) => (name === 'main' ? '#!/usr/bin/env node' : ''),
        comments: { annotation: true, legal: true },
        entryFileNames: '[name].js',
        chunkFileNames: '[name].js',
      },
    },
  },
});
