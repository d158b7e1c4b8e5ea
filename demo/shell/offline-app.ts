import type { Plugin } from 'vite';
import { VitePWA } from 'vite-plugin-pwa';

/** In `public/`; becomes part of the service worker. */
const UNANSWERED = 'unanswered-requests.js';

/** Makes the built page installable and available offline. Models and adapters are in the origin's file system. */
export function offlineApp(): Plugin[] {
  return VitePWA({
    filename: 'service-worker.js',
    registerType: 'prompt', // the page asks before a new version takes over
    injectRegister: null, // the page registers it itself: an inline script would be against its policy
    manifest: {
      name: 'Chunkwise',
      short_name: 'Chunkwise',
      description: 'Chat with a language model that runs on your own GPU, offline too.',
      display: 'standalone',
      start_url: './',
      scope: './',
      background_color: '#fbfaf8',
      theme_color: '#0f766e',
      icons: [
        { src: 'icons/icon-192.png', sizes: '192x192', type: 'image/png', purpose: 'any' },
        { src: 'icons/icon-512.png', sizes: '512x512', type: 'image/png', purpose: 'any' },
        { src: 'icons/maskable-192.png', sizes: '192x192', type: 'image/png', purpose: 'maskable' },
        { src: 'icons/maskable-512.png', sizes: '512x512', type: 'image/png', purpose: 'maskable' },
        { src: 'icons/icon.svg', sizes: 'any', type: 'image/svg+xml', purpose: 'any' },
      ],
    },
    workbox: {
      globPatterns: ['**/*.{html,js,css,svg,png}'],
      globIgnores: ['adapters/**', 'models/**', UNANSWERED],
      importScripts: [UNANSWERED],
      maximumFileSizeToCacheInBytes: 8e6,
      clientsClaim: true, // active from the first visit
      inlineWorkboxRuntime: true,
      sourcemap: false,
      // `?model=` does not select another page.
      ignoreURLParametersMatching: [/^model$/],
      navigateFallback: 'index.html',
      navigateFallbackDenylist: [/\/(models|adapters)\//],
    },
  });
}
