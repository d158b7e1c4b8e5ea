/**
 * What a service worker and a page with an engine say to each other. Neither learns by messages of the other's end, but
 * by the end of a lock that the other held.
 */

/** Pages that offer an engine hold a lock of this name, an id behind it: its `clientId` tells which they are. */
export const OFFER_LOCK = 'chunkwise engine ';
/** And one of this name, the same id behind it, for as long as they answer. */
export const PAGE_LOCK = 'chunkwise page ';

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

export function isForwarded(data: unknown): data is ForwardedRequest {
  return typeof data === 'object' && data !== null && 'type' in data && data.type === 'chunkwise-request';
}
