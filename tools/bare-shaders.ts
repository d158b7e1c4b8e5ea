import { readFile } from 'node:fs/promises';
import type { Plugin } from 'vite';

const SUFFIX = '.wgsl?raw';

/**
 * A shader without its comments, indents, and the spaces and line ends that part nothing: of all shaders, compressed, a third.
 * A line that begins with `#` is an instruction of ours (`src/gpu/unroll.ts`) and stays a line.
 */
export const bareShader = (text: string): string =>
  text
    .split('\n')
    .map((line) =>
      line
        .replace(/\/\/.*$/, '')
        .replace(/ - (?!-)/g, '-') // beside another one it would be another operator
        .replace(/ -> /g, '->')
        .replace(/ ?([=,:;{}()*+/<>&|%^!]) ?/g, '$1')
        .trim(),
    )
    .filter((line) => line !== '')
    .map((line, i, lines) => (endsStatement(line) && !lines[i + 1]?.startsWith('#') ? line : `${line}\n`))
    .join('')
    .trimEnd();

const endsStatement = (line: string): boolean => /[;{},]$/.test(line) && !line.startsWith('#');

/** Vite's plugin that builds with bare shaders. */
export const bareShaders = (): Plugin => ({
  name: 'bare-shaders',
  enforce: 'pre',
  async load(id) {
    if (!id.endsWith(SUFFIX)) return undefined;
    return `export default ${JSON.stringify(bareShader(await readFile(id.slice(0, -'?raw'.length), 'utf8')))};`;
  },
});
