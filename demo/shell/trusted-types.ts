/** What TypeScript's library does not know yet of the browsers' Trusted Types. */
interface TrustedTypes {
  createPolicy: (name: string, rules: { createScriptURL: (url: string) => string }) => unknown;
}

/** Lets workers be started from this page's own origin, and from nowhere else. The engine's own is a blob of this origin. */
export function allowOwnWorkers(): void {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  trustedTypes?.createPolicy('default', {
    createScriptURL: (url) => {
      if (new URL(url, document.baseURI).origin === location.origin) return url;
      throw new TypeError(`${url} is no script of this page`);
    },
  });
}
