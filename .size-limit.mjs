import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A built module with all that it imports statically. */
function withImports(file, found = new Set()) {
  if (found.has(file)) return found;
  found.add(file);
  const imports = readFileSync(file, 'utf8').matchAll(/\b(?:import|export)\b[^;"'()]*["'](\.[^"']+)["']/g);
  for (const [, path] of imports) withImports(join(dirname(file), path), found);
  return found;
}

const gzip = true;

export default [
  {
    name: 'chunkwise, with what it imports statically',
    path: [...withImports('dist/index.js')],
    gzip,
    limit: '19.5 kB',
  },
  {
    name: 'the code of the workers, imported on demand',
    path: ['dist/engine.worker.js', 'dist/ranks.worker.js'],
    gzip,
    limit: '250 kB',
  },
  { name: 'the grammar worker, imported with the first format', path: 'dist/grammar.worker.js', gzip, limit: '64 kB' },
];
