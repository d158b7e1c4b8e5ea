import type { Plugin } from 'vite';

/** Content security policy of the built page. A meta tag works on any static host. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "worker-src 'self' blob:",
  "style-src 'self'",
  "img-src 'self' data:",
  "manifest-src 'self'",
  // Models and adapters may come from anywhere by https, or from a server on this device.
  "connect-src 'self' https: blob: http://localhost:* http://127.0.0.1:*",
  "base-uri 'none'",
  "form-action 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types default dompurify',
].join('; ');

const CHARSET = '<meta charset="utf-8" />';

/** Writes the policy into the built page. Vite's dev server needs inline scripts and styles. */
export function contentSecurityPolicy(): Plugin {
  return {
    name: 'content security policy',
    apply: 'build',
    transformIndexHtml: (html) => {
      if (!html.includes(CHARSET)) throw new Error(`index.html has no ${CHARSET}`);
      // Before everything that it governs.
      return html.replace(CHARSET, `${CHARSET}\n    <meta http-equiv="Content-Security-Policy" content="${POLICY}" />`);
    },
  };
}
