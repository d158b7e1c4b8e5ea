/**
 * What a service worker and a page with an engine say to each other. Neither learns by messages of the other's end, but
 * by the end of a lock that the other held.
 */

/** Pages that offer an engine hold a lock of this name, an id behind it. */
export const OFFER_LOCK = 'chunkwise engine ';
/** And one of this name, the same id behind it, for as long as they answer. */
export const PAGE_LOCK = 'chunkwise page ';

/** Is sent to the service worker by a page that it does not control yet: it is to take it over. */
export const CLAIM = 'chunkwise-claim';

/** Is sent to every page: the one that has the lock of this id answers on the port. Browsers do not tell by the lock. */
export interface Search {
  type: 'chunkwise-search';
  id: string;
}

/** A request as it is sent, beside the port on which the answer is served: first a `ResponseHead`, then bytes. */
export interface ForwardedRequest {
  type: 'chunkwise-request';
  /** Held by the service worker while it waits for the answer. */
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

/** Whether a page's message is one of these. */
export function isOurs(data: unknown): data is Search | ForwardedRequest {
  const type = typeof data === 'object' && data !== null && 'type' in data ? data.type : undefined;
  return type === 'chunkwise-search' || type === 'chunkwise-request';
}
