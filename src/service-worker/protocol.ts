/**
 * Messages between a service worker and a page with an engine. Neither can send a message when it ends; the other notices the
 * end by a lock that becomes free.
 */

/** Prefix of the lock that a page holds while it offers an engine; an id follows. */
export const OFFER_LOCK = 'chunkwise engine ';
/** Prefix of the lock that the page holds while it answers requests; the same id follows. */
export const PAGE_LOCK = 'chunkwise page ';

/** A page that is not controlled yet sends this to ask the service worker to take control. */
export const CLAIM = 'chunkwise-claim';

/** Sent to every page. The page that holds the lock of this id answers on the port; browsers do not tell which page holds a lock. */
export interface Search {
  type: 'chunkwise-search';
  id: string;
}

/** A request, sent with the port on which the page serves the answer: first a `ResponseHead`, then bytes. */
export interface ForwardedRequest {
  type: 'chunkwise-request';
  /** Lock that the service worker holds while it waits for the answer. */
  lock: string;
  url: string;
  method: string;
  headers: [string, string][];
  body: ArrayBuffer | null;
}

export interface ResponseHead {
  status: number;
  headers: [string, string][];
}

export type ResponsePart = ResponseHead | Uint8Array<ArrayBuffer>;

/** Whether a message is one of these. */
export function isOurs(data: unknown): data is Search | ForwardedRequest {
  const type = typeof data === 'object' && data !== null && 'type' in data ? data.type : undefined;
  return type === 'chunkwise-search' || type === 'chunkwise-request';
}
