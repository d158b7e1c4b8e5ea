/** Names and URLs of models, adapters and stored items. */
import { checkFilled, checkOneOf, describe, refuse } from './checks.ts';

/** Makes an absolute URL of a relative one, or in Node of a path. Throws a TypeError for text that is no URL. */
export type ToUrl = (text: string) => URL;

/** Resolves a URL against the page. */
export const pageUrl: ToUrl = (text) => new URL(text, globalThis.document?.baseURI ?? location.href);

/** Checks the name of an adapter or of a stored item; names may be long URLs. Throws `bad_request`. */
export function parseName(name: unknown): string {
  return checkFilled(name, 'name');
}

/** Maximum bytes of the name of a browser's file, without its extension. */
const MOST_NAME_BYTES = 200;

/** Checks the name of a saved cache. Throws `bad_request`. */
export function parseCacheName(given: unknown): string {
  const name = parseName(given);
  let bytes = 0;
  try {
    bytes = encodeURIComponent(name).length; // the file's name
  } catch {
    refuse('name', 'contains half of a surrogate pair');
  }
  return bytes <= MOST_NAME_BYTES
    ? name
    : refuse('name', `takes ${bytes} bytes as a file's name; at most ${MOST_NAME_BYTES} are allowed`);
}

/** Adds the final slash to a folder's URL, before its query (usually a token). */
export function folderAt(url: string): string {
  const folder = new URL(url);
  folder.pathname = folder.pathname.replace(/\/?$/, '/');
  return folder.href;
}

/** Names under which an item may be stored: the name itself, and its URL if it is the address of a file or folder. */
export function namesOfStored(name: string, toUrl: ToUrl): string[] {
  try {
    const { href } = toUrl(name);
    return [name, href, folderAt(href)];
  } catch {
    return [name];
  }
}

export function parseUrl(url: string, field: string, toUrl: ToUrl): string {
  let parsed: URL;
  try {
    parsed = toUrl(url);
  } catch {
    return refuse(field, `${describe(url)} is not a URL`);
  }
  if (parsed.username !== '' || parsed.password !== '')
    refuse(field, 'contains a user name or a password, which browsers do not send');
  return parsed.href;
}

const KINDS = ['model', 'adapter', 'text'] as const;

export const parseStoredKind = (kind: unknown): (typeof KINDS)[number] | undefined =>
  kind === undefined ? undefined : checkOneOf(KINDS, kind, 'kind');
