/** Builds the command line of the package into dist/cli/. It runs in Node, on the `webgpu` package where that is installed. */
import { defineConfig } from 'vite';

export default defineConfig({
  publicDir: false,
  ssr: { noExternal: true, external: ['webgpu'] },
  build: {
    ssr: 'cli/main.ts',
    outDir: 'dist/cli',
    target: 'node20',
    minify: true,
    rolldownOptions: { output: { banner: '#!/usr/bin/env node', chunkFileNames: '[name].js' } },
  },
});
