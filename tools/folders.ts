/** Refuses folders that nobody finds anything in: run by `npm run lint`. Counts the files that git tracks. */
import { execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const MOST_FILES = 20;

/** Here files are data, or pages for people: they may be many. */
const ANY_NUMBER = /(^|\/)(fixtures|public|docs)\/|^bench\/results\//;

/** A line for each folder with more than `most` of these files; paths from the root, with slashes. */
export function crowdedFolders(paths: readonly string[], most = MOST_FILES): string[] {
  const counts = new Map<string, number>();
  for (const path of paths) {
    if (ANY_NUMBER.test(path)) continue;
    const folder = dirname(path);
    counts.set(folder, (counts.get(folder) ?? 0) + 1);
  }
  return [...counts].filter(([, count]) => count > most).map(([folder, count]) => `${folder} has ${count} files, more than ${most}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const cwd = join(import.meta.dirname, '..');
  const tracked = execFileSync('git', ['ls-files', '-z'], { cwd, encoding: 'utf8' }).split('\0').filter(Boolean);
  const crowded = crowdedFolders(tracked);
  for (const line of crowded) console.error(line);
  if (crowded.length > 0) process.exitCode = 1;
}
