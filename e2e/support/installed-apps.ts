import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pack } from './packed-package.ts';

export const APPS = join(import.meta.dirname, '../apps');
const ROOT = join(import.meta.dirname, '../..');
/** Options for programs of the apps' folder. */
export const FOR_APPS = { cwd: APPS, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } };
const TOOLS = ['esbuild', 'next', 'typescript-5.6', 'typescript-5.9', 'vite', 'webpack', 'webpack-cli'];
const QUIET = ['--no-audit', '--no-fund', '--ignore-scripts'];

/** Runs a program of the apps' folder. Throws with its output on failure. */
export async function runInApps(program: string, ...args: string[]): Promise<{ stdout: string }> {
  return promisify(execFile)(program, args, FOR_APPS);
}

/** Installs the bundlers and compilers of the apps' lock file if missing. */
export async function installTools(): Promise<void> {
  if (!hasTools()) await runInApps('npm', 'ci', ...QUIET);
}

/** Packs dist/ for publication and installs the tarball into the apps' folder. */
export async function installPackage(): Promise<void> {
  await installTools();
  const tarball = await pack(ROOT);
  try {
    rmSync(join(APPS, 'node_modules/chunkwise'), { recursive: true, force: true });
    await runInApps('npm', 'install', '--no-save', '--prefer-offline', ...QUIET, tarball);
  } finally {
    rmSync(tarball);
  }
}

/** Whether the lock's packages are installed: npm writes node_modules/.package-lock.json last. */
function hasTools(): boolean {
  const versions = (file: string): (string | undefined)[] => {
    const { packages } = JSON.parse(readFileSync(join(APPS, file), 'utf8')) as Lock;
    return TOOLS.map((tool) => packages[`node_modules/${tool}`]?.version);
  };
  const installed = 'node_modules/.package-lock.json';
  return existsSync(join(APPS, installed)) && String(versions(installed)) === String(versions('package-lock.json'));
}

interface Lock {
  packages: Record<string, { version?: string }>;
}
