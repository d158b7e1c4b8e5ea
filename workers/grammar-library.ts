import type { LoadXgrammar, Xgrammar } from '../src/grammar/xgrammar.ts';

/**
 * @mlc-ai/web-xgrammar from its text, which the page brings: a worker that came as text itself has no address to import
 * from. Its file is UMD, and sets a global where it finds no module's `exports`.
 */
export const xgrammarFrom =
  (text: () => Promise<string>): LoadXgrammar =>
  async () => {
    const url = URL.createObjectURL(new Blob([await text()], { type: 'text/javascript' }));
    try {
      await import(/* @vite-ignore */ url);
    } finally {
      URL.revokeObjectURL(url);
    }
    return (globalThis as typeof globalThis & { xgrammar: Xgrammar }).xgrammar;
  };
