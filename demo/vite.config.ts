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
    // The page's text is in its HTML; its style sheet comes before those of modules, because the first paint waits for
    // it.
    modulePreload: { resolveDependencies: (_, deps, { hostType }) => (hostType === 'html' ? [] : deps) },
  },
  worker: { format: 'es' },
  // Vite scans the page's imports for dependencies, but not workers' imports; a late find would reload the page.
  optimizeDeps: { entries: ['index.html', '../workers/*.worker.ts'] },
});
