import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const PAGES = import.meta.dirname;

/** Installs the other runtimes into their own folder if missing, without Node-only parts. */
export async function ensurePeers(): Promise<void> {
  if (isInstalled()) return;
  console.log('Installing the other runtimes (bench/support/peers/pages, about 480 MB)');
  await promisify(execFile)('npm', ['ci', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: PAGES,
  });
}

/** npm writes node_modules/.package-lock.json last. */
function isInstalled(): boolean {
  const { dependencies } = read('package.json') as { dependencies: Record<string, string> };
  const installed = read('node_modules/.package-lock.json') as { packages?: Record<string, { version?: string }> };
  return Object.entries(dependencies).every(
    ([name, version]) => installed.packages?.[`node_modules/${name}`]?.version === version,
  );
}

const read = (file: string): unknown =>
  existsSync(join(PAGES, file)) ? JSON.parse(readFileSync(join(PAGES, file), 'utf8')) : {};
