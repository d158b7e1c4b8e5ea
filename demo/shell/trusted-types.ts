/** The browsers' Trusted Types, which TypeScript's library lacks. */
interface TrustedTypes {
  createPolicy: (name: string, rules: { createScriptURL: (url: string) => string }) => unknown;
}

/** Allows workers from this page's own origin only. The engine's worker is a blob of this origin. */
export function allowOwnWorkers(): void {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  trustedTypes?.createPolicy('default', {
    createScriptURL: (url) => {
      if (new URL(url, document.baseURI).origin === location.origin) return url;
      throw new TypeError(`${url} is not a script of this page`);
    },
  });
}
