// Lets `import source from './x.wgsl?raw'` work in plain Node (CLI, bench, tests' child processes) as it does in Vite:
// node --import tsx --import ./tools/wgsl-loader.mjs FILE
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';

const SUFFIX = '?raw';
const HOOKS = '?hooks';

// Node loads this file twice: by --import, to register, and on the hooks' own thread, for the two functions below.
if (!import.meta.url.endsWith(HOOKS)) register(import.meta.url + HOOKS);

export function resolve(specifier, context, nextResolve) {
  if (!specifier.endsWith(SUFFIX)) return nextResolve(specifier, context);
  return { url: new URL(specifier, context.parentURL).href, format: 'module', shortCircuit: true };
}

export async function load(url, context, nextLoad) {
  if (!url.endsWith(SUFFIX)) return nextLoad(url, context);
  const text = await readFile(new URL(url.slice(0, -SUFFIX.length)), 'utf8');
  return { format: 'module', source: `export default ${JSON.stringify(text)};`, shortCircuit: true };
}
