import { readFile } from 'node:fs/promises';
import type { Plugin } from 'vite';

const SUFFIX = '.wgsl?raw';

/**
 * Removes a shader's comments, indents, and unneeded spaces and line ends, a third of all compressed shaders. A line
 * that begins with `#` is a directive of `src/gpu/kernel.ts` and stays a line.
 */
export const bareShader = (text: string): string =>
  text
    .split('\n')
    .map((line) =>
      line
        .replace(/\/\/.*$/, '')
        .replace(/ - (?!-)/g, '-') // two minus signs would form another operator
        .replace(/ -> /g, '->')
        .replace(/ ?([=,:;{}()*+/<>&|%^!]) ?/g, '$1')
        .trim(),
    )
    .filter((line) => line !== '')
    .map((line, i, lines) => (joinsNext(line) && !lines[i + 1]?.startsWith('#') ? line : `${line}\n`))
    .join('')
    .trimEnd();

const joinsNext = (line: string): boolean => /[;{},(=+*<>&|%^:]$/.test(line) && !line.startsWith('#');

/** Vite plugin that strips shaders. */
export const bareShaders = (): Plugin => ({
  name: 'bare-shaders',
  enforce: 'pre',
  async load(id) {
    if (!id.endsWith(SUFFIX)) return undefined;
    return `export default ${JSON.stringify(bareShader(await readFile(id.slice(0, -'?raw'.length), 'utf8')))};`;
  },
});
