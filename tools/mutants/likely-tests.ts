import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

const FOLDERS = ['src', 'workers', 'cli', 'demo', 'tests', 'e2e', 'tools', 'bench'];
const IMPORTS = /(?:\bfrom|\bimport|\bimport\()\s*['"](\.[^'"?]+)/g;
/** This test fails for every fault. */
const OF_FAULTS = 'tests/tooling/mutants.test.ts';

/** Test files that import a file directly or indirectly, nearest first. */
export function likelyTests(root: string, files: readonly string[]): string[] {
  const importers = new Map<string, string[]>();
  for (const file of FOLDERS.flatMap((folder) => sourcesIn(root, folder))) {
    for (const [, path = ''] of readFileSync(join(root, file), 'utf8').matchAll(IMPORTS)) {
      const imported = normalize(join(dirname(file), path)).replaceAll('\\', '/');
      importers.set(imported, [...(importers.get(imported) ?? []), file]);
    }
  }
  const seen = new Set(files);
  for (const file of seen) for (const importer of importers.get(file) ?? []) seen.add(importer); // the set grows
  return [...seen].filter((file) => file.endsWith('.test.ts') && file !== OF_FAULTS);
}

const sourcesIn = (root: string, folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
    .map((name) => `${folder}/${name.replaceAll('\\', '/')}`);
