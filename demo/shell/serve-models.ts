import { fileURLToPath } from 'node:url';
import sirv from 'sirv';
import type { Plugin, PreviewServer, ViteDevServer } from 'vite';

const MODELS = fileURLToPath(new URL('../../models/', import.meta.url));

/** Serves a folder, by default models under /models/, whole or in ranges, in Vite's dev and preview servers. */
export function serveModels(folder = MODELS, path = '/models'): Plugin {
  const files = sirv(folder, { dev: true, etag: true });
  const mount = ({ middlewares }: ViteDevServer | PreviewServer): void => {
    middlewares.use(path, (request, response, next) => {
      // The page's own sources in demo/models also come here, with their imports.
      if (/\.(ts|css)(\?|$)|\?import/.test(request.url ?? '')) return next();
      // Without a next handler sirv answers 404, and Vite would answer with the page.
      files(request, response);
    });
  };
  return { name: `serve ${path}`, configureServer: mount, configurePreviewServer: mount };
}
