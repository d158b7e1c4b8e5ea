import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { contentSecurityPolicy } from './shell/content-security-policy.ts';
import { offlineApp } from './shell/offline-app.ts';
import { serveModels } from './shell/serve-models.ts';

const root = fileURLToPath(new URL('.', import.meta.url));

export default defineConfig({
  root,
  base: './',
  appType: 'mpa',
  plugins: [serveModels(), contentSecurityPolicy(), offlineApp()],
  build: {
    target: 'es2022',
    outDir: '../dist-demo',
    emptyOutDir: true,
    // The page's text is its HTML: the style sheet, which its first paint waits for, comes before what modules import.
    modulePreload: { resolveDependencies: (_, deps, { hostType }) => (hostType === 'html' ? [] : deps) },
  },
  worker: { format: 'es' },
  // Vite looks for dependencies in what the page imports, but not in workers: found at the first visit they would reload it.
  optimizeDeps: { entries: ['index.html', '../workers/*.worker.ts'] },
});
