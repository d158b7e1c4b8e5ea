import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

const documents = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md'],
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

const read = (document: string): string => readFileSync(join(ROOT, document), 'utf8');

/** Anchor of a heading. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .trim()
    .replace(/ /g, '-');

const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchorOf(heading));

/** Broken links within the repository. */
function brokenLinks(document: string, text: string): string[] {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^[a-z]+:/.test(link)) return [];
    const [path = '', anchor] = link.split('#');
    const target = path ? join(dirname(document), path) : document;
    if (!existsSync(join(ROOT, target))) return [link];
    return anchor !== undefined && !anchors(target === document ? text : read(target)).includes(anchor) ? [link] : [];
  });
}

/** Named files and folders that do not exist; `x.ts` and `NAME.ts` are placeholders. */
function missingPaths(text: string): string[] {
  const paths = [...text.matchAll(/`((?:src|workers|demo|tests|e2e|tools|cli|shaders|bench)\/[\w./-]+)`/g)].map(
    ([, path = '']) => path,
  );
  return paths.filter((path) => !/\b(x|NAME)\b/.test(path) && !existsSync(join(ROOT, path)));
}

it.each(documents)('%s: every link works, and every named file exists', (document) => {
  expect(brokenLinks(document, read(document))).toEqual([]);
  expect(missingPaths(read(document))).toEqual([]);
});

it('finds a broken link and a missing file', () => {
  const text =
    '# One\n[a](missing.md) [b](#two) [c](#one) [d](https://example.org) `src/missing.ts` `src/kernels/x.ts`';
  expect(brokenLinks('README.md', text)).toEqual(['missing.md', '#two']);
  expect(missingPaths(text)).toEqual(['src/missing.ts']);
});
