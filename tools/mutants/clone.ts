import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { edited, editsOf, type Fault } from './fault.ts';

/** Files that tests need and git ignores. */
const LINKED = ['node_modules', 'models', '.cache', 'tests/llama/node_modules', 'e2e/apps/node_modules'];

/** A clone of the current commit in which files may be broken; an existing clone is updated. */
export function makeClone(root: string, folder: string): void {
  const git = (cwd: string, ...args: string[]): string => execFileSync('git', args, { cwd, encoding: 'utf8' }).trim();
  const head = git(root, 'rev-parse', 'HEAD');
  if (!existsSync(join(folder, '.git'))) {
    mkdirSync(dirname(folder), { recursive: true });
    git(root, 'clone', '--quiet', '--local', '--no-checkout', root, folder);
  } else {
    git(folder, 'fetch', '--quiet', root, head);
  }
  git(folder, 'checkout', '--quiet', '--force', '--detach', head);
  for (const name of LINKED) {
    const link = join(folder, name);
    if (existsSync(join(root, name)) && !lstatSync(link, { throwIfNoEntry: false }))
      symlinkSync(join(root, name), link);
  }
}

/** Applies a fault to the clone; the returned function reverts it. Throws unless an edit's text occurs exactly once. */
export function breakClone(folder: string, fault: Fault): () => void {
  const before = new Map<string, string>();
  const mend = (): void => before.forEach((text, file) => writeFileSync(file, text));
  try {
    for (const edit of editsOf(fault)) {
      const file = join(folder, edit.file);
      const text = readFileSync(file, 'utf8');
      const broken = edited(text, edit);
      if (!before.has(file)) before.set(file, text);
      writeFileSync(file, broken);
    }
  } catch (error) {
    mend();
    throw error;
  }
  return mend;
}
