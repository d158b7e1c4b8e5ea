import { resolve } from 'node:path';
import { ESLint } from 'eslint';
import { expect, it } from 'vitest';

const eslint = new ESLint({ cwd: resolve(import.meta.dirname, '../..') });

/** The rules that `code` breaks as the content of `file`, an existing file of this repository. */
async function brokenRules(file: string, code: string): Promise<(string | null)[]> {
  const [result] = await eslint.lintText(code, { filePath: file });
  return result?.messages.map((message) => message.ruleId) ?? [];
}

const LEAF = 'src/errors/chunkwise-error.ts';
const LEAF_FROM_API = '../errors/chunkwise-error.ts';
const API = 'src/api/index.ts';
const STORAGE = 'src/storage/storage-host.ts';
const WORKER = 'workers/locks.ts';
const TEST = 'tests/tooling/lint.ci.test.ts';

const params = (count: number): string =>
  `export const a = (${Array.from({ length: count }, (_, i) => `p${i}: number`).join()}): number[] => [${Array.from({ length: count }, (_, i) => `p${i}`).join()}];`;

it.each([
  ['the page below src/api', LEAF, 'export const title = document.title;', ['no-restricted-globals']],
  ['the platform below src/api', LEAF, 'export const gpu = navigator.gpu;', ['no-restricted-globals']],
  ['the page in src/api', API, 'export const title = document.title;', []],
  ['the page in src/storage', STORAGE, 'export const title = document.title;', ['no-restricted-globals']],
  ["the page's storage in src/storage", STORAGE, 'export const kept = localStorage.length;', ['no-restricted-globals']],
  ['the platform in src/storage', STORAGE, 'export const { storage } = navigator;', []],
  ['the page in a worker', WORKER, 'export const title = document.title;', ['no-restricted-globals']],
  ['the platform in a worker', WORKER, 'export const { locks } = navigator;', []],
  ['five parameters', API, params(5), []],
  ['six parameters', API, params(6), ['max-params']],
  ['six parameters in a test', TEST, params(6), ['max-params']],
  ['a promise nobody waits for', API, 'fetch("/");', ['@typescript-eslint/no-floating-promises']],
  ['a promise as a condition', API, 'export const a = fetch("/") ? 1 : 2;', ['@typescript-eslint/no-misused-promises']],
  ['any', API, 'export const a = (b: any): number => Number(b);', ['@typescript-eslint/no-explicit-any']],
  [
    'a type imported as a value',
    API,
    `import { ErrorCode } from '${LEAF_FROM_API}'; export type A = ErrorCode;`,
    ['@typescript-eslint/consistent-type-imports'],
  ],
  ['let for a constant', API, 'let a = 1; export const b = a;', ['prefer-const']],
  ['loose equality', API, 'export const a = (b: number): boolean => b == 1;', ['eqeqeq']],
  ['an unused name', API, 'const a = 1; export {};', ['@typescript-eslint/no-unused-vars']],
  [
    'a silenced rule',
    API,
    '// eslint-disable-next-line eqeqeq\nexport const a = (b: number): boolean => b == 1;',
    [null, 'eqeqeq'],
  ],
  ['a silenced compiler', API, '// @ts-ignore\nexport const a: number = "";', ['@typescript-eslint/ban-ts-comment']],
])('lint detects %s', async (_what, file, code, rules) => {
  expect(await brokenRules(file, code)).toEqual(rules);
});
