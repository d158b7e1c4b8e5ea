/** What TypeScript's library does not know yet of the browsers' Trusted Types. */
interface TrustedTypes {
  createPolicy: (name: string, rules: { createScriptURL: (url: string) => string }) => unknown;
}

/**
 * A page's Trusted Types hold in a worker that it started from a blob, but the policies it made do not: the worker allows
 * itself to start its own threads. A page whose `trusted-types` has no `default` lets it have none.
 */
export function allowOwnThreads(): void {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  const createScriptURL = (url: string): string => {
    if (url.startsWith(`blob:${location.origin}/`)) return url;
    throw new TypeError(`${url} is no thread of the engine's`);
  };
  try {
    trustedTypes?.createPolicy('default', { createScriptURL });
  } catch {
    // Starting a thread tells what is wrong.
  }
}
