import { readFile } from 'node:fs/promises';
import type { Plugin } from 'vite';

const SUFFIX = '.wgsl?raw';

/** A shader without its comments, indents, empty lines and spaces that part nothing: of all shaders, compressed, a third. */
export const bareShader = (text: string): string =>
  text
    .split('\n')
    .map((line) =>
      line
        .replace(/\/\/.*$/, '')
        .replace(/ ?([=,:;{}()*+/]) ?/g, '$1')
        .trim(),
    )
    .filter((line) => line !== '')
    .join('\n');

/** Vite's plugin that builds with bare shaders. */
export const bareShaders = (): Plugin => ({
  name: 'bare-shaders',
  enforce: 'pre',
  async load(id) {
    if (!id.endsWith(SUFFIX)) return undefined;
    return `export default ${JSON.stringify(bareShader(await readFile(id.slice(0, -'?raw'.length), 'utf8')))};`;
  },
});
