import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** A code example of a document. */
export interface Snippet {
  /** Document and number of the snippet: `docs/guide/cache.md 2`. */
  name: string;
  document: string;
  language: 'ts' | 'tsx' | 'js';
  code: string;
}

export const DOCUMENTS = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs/guide'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/guide/${name}`),
];

/** The snippets of a document in order. */
export function snippetsOf(document: string): Snippet[] {
  const text = readFileSync(join(ROOT, document), 'utf8');
  return [...text.matchAll(/^```(ts|tsx|js)\n(.*?)^```$/gms)].map(([, language, code = ''], i) => ({
    name: `${document} ${i + 1}`,
    document,
    language: language as Snippet['language'],
    code,
  }));
}
