/** Runs a measurement by name: npm run bench -- NAME [ARGUMENTS]; without a name it lists all. */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';

const FOLDERS = ['.', 'adapters', 'cache'].map((folder) => join(import.meta.dirname, folder));

const measurements = new Map(
  FOLDERS.flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
    .filter((path) => path.endsWith('.ts') && path !== import.meta.filename)
    .map((path) => [basename(path, '.ts'), path]),
);

const [name = ''] = process.argv.splice(2, 1); // the rest are its arguments
const path = measurements.get(name);
if (path) await import(path);
else {
  console.error(`npm run bench -- NAME, where NAME is one of: ${[...measurements.keys()].sort().join(', ')}`);
  process.exitCode = 2;
}
