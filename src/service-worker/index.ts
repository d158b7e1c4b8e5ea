/** Exports of `chunkwise/service-worker`: `serveEngine` for the worker, `provideEngine` for a page. */
export { provideEngine } from './provide-engine.ts';
export { serveEngine } from './serve-engine.ts';
export type { ServeOptions } from './serve-engine.ts';
