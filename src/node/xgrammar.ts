import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileFunction, constants } from 'node:vm';
import type { LoadXgrammar, Xgrammar } from '../grammar/xgrammar.ts';

/** Loads @mlc-ai/web-xgrammar in Node: its file is CommonJS, though its package says that it is a module. */
export const loadXgrammar: LoadXgrammar = async () => {
  const filename = fileURLToPath(import.meta.resolve('@mlc-ai/web-xgrammar'));
  const module = { exports: {} };
  const importModuleDynamically = constants.USE_MAIN_CONTEXT_DEFAULT_LOADER;
  const names = ['exports', 'require', 'module', '__filename', '__dirname'];
  const run = compileFunction(await readFile(filename, 'utf8'), names, { filename, importModuleDynamically }) as (
    ...args: unknown[]
  ) => void;
  run(module.exports, createRequire(filename), module, filename, dirname(filename));
  return module.exports as Xgrammar;
};
