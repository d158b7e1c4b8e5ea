import type { MessagePort, Worker } from 'node:worker_threads';
import type { Endpoint } from 'comlink';

/** A Node worker thread, or its parent port, as a comlink endpoint. */
export function nodeEndpoint(port: MessagePort | Worker): Endpoint {
  const handlers = new Map<EventListenerOrEventListenerObject, (data: unknown) => void>();
  return {
    postMessage: (message: unknown) => port.postMessage(message),
    addEventListener(_type, listener) {
      const handler = (data: unknown): void => {
        const event = { data } as MessageEvent;
        if ('handleEvent' in listener) listener.handleEvent(event);
        else listener(event);
      };
      handlers.set(listener, handler);
      port.on('message', handler);
    },
    removeEventListener(_type, listener) {
      const handler = handlers.get(listener);
      if (handler) port.off('message', handler);
      handlers.delete(listener);
    },
  };
}
