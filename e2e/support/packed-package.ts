import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../..');

/** Dependencies of the package, without its optional peers. */
export const DEPENDENCIES = Object.keys(
  (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { dependencies: Record<string, string> })
    .dependencies,
);

/** Packs dist/ for publication into the folder `to`, and returns the tarball's path. */
export async function pack(to: string): Promise<string> {
  const { stdout } = await run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', to], { cwd: ROOT });
  return join(to, tarballName(stdout));
}

/** npm before version 12 returns an array, later versions an object by package. */
function tarballName(json: string): string {
  const [packed] = Object.values(JSON.parse(json) as Record<string, { filename: string }>);
  if (packed === undefined) throw new Error('nothing was packed');
  return packed.filename;
}

/**
 * Makes a folder with the packed package and the given packages of the repository, without the network. The caller
 * removes it.
 */
export async function installedFolder(packages: readonly string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-installed-'));
  const installed = join(folder, 'node_modules/chunkwise');
  mkdirSync(installed, { recursive: true });
  const tarball = await pack(folder);
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', installed]);
  rmSync(tarball);
  for (const name of packages) {
    const place = join(folder, 'node_modules', name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), place);
  }
  return folder;
}
