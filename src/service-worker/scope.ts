/** What a service worker's global scope has; TypeScript's library for pages leaves it out. */
export interface ServiceWorkerScope {
  readonly registration: { readonly scope: string };
  readonly clients: { matchAll(options: { includeUncontrolled: boolean }): Promise<readonly ServiceWorkerClient[]> };
  readonly navigator: { readonly locks: LockManager };
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
}

export interface ServiceWorkerClient {
  postMessage(message: unknown, transfer: Transferable[]): void;
}

export interface FetchEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
  /** Keeps the worker alive until then. */
  waitUntil(done: Promise<unknown>): void;
}
