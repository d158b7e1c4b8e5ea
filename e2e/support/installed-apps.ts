import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const APPS = join(import.meta.dirname, '../apps');
const ROOT = join(import.meta.dirname, '../..');
/** How programs of the apps' folder are run. */
export const FOR_APPS = { cwd: APPS, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } };
const TOOLS = ['esbuild', 'next', 'vite', 'webpack', 'webpack-cli'];
const QUIET = ['--no-audit', '--no-fund', '--ignore-scripts'];

/** Runs a program of the apps' folder. Throws with what it said when it fails. */
export async function runInApps(program: string, ...args: string[]): Promise<{ stdout: string }> {
  return promisify(execFile)(program, args, FOR_APPS);
}

/** Packs dist/ as it would be published, and installs the tarball into the folder of the apps, beside the bundlers. */
export async function installPackage(): Promise<void> {
  if (!hasBundlers()) await runInApps('npm', 'ci', ...QUIET);
  const { stdout } = await promisify(execFile)('npm', ['pack', '--json', '--ignore-scripts'], { cwd: ROOT });
  const tarball = join(ROOT, tarballName(stdout));
  try {
    rmSync(join(APPS, 'node_modules/chunkwise'), { recursive: true, force: true });
    await runInApps('npm', 'install', '--no-save', '--prefer-offline', ...QUIET, tarball);
  } finally {
    rmSync(tarball);
  }
}

/** npm before version 12 gives an array, and later ones an object by package. */
function tarballName(json: string): string {
  const [packed] = Object.values(JSON.parse(json) as Record<string, { filename: string }>);
  if (packed === undefined) throw new Error('nothing was packed');
  return packed.filename;
}

/** Whether what the lock asks for is there: npm writes node_modules/.package-lock.json last. */
function hasBundlers(): boolean {
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
