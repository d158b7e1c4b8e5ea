/** What a service worker's global scope has; TypeScript's library for pages leaves it out. */
export interface ServiceWorkerScope {
  readonly registration: { readonly scope: string };
  readonly clients: {
    matchAll(options: { includeUncontrolled: boolean }): Promise<readonly ServiceWorkerClient[]>;
    /** Takes over all pages in its scope. */
    claim(): Promise<void>;
  };
  readonly navigator: { readonly locks: LockManager };
  addEventListener(type: 'fetch', listener: (event: FetchEvent) => void): void;
  addEventListener(type: 'message', listener: (event: MessageFromPage) => void): void;
}

export interface ServiceWorkerClient {
  postMessage(message: unknown, transfer: Transferable[]): void;
}

interface LastingEvent {
  /** Keeps the worker alive until then. */
  waitUntil(done: Promise<unknown>): void;
}

export interface FetchEvent extends LastingEvent {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

interface MessageFromPage extends LastingEvent {
  readonly data: unknown;
}
