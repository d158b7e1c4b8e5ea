import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const LOCK = `${FOLDER}.cache/install.lock`;
/** An install takes seconds; a lock of this age (ms) belongs to a killed process. */
const STALE = 5 * 60_000;

/**
 * Installs node-llama-cpp into tests/llama/node_modules if it is missing: only from the npm registry, without a build or
 * further downloads. Several processes may call it at once. Linux on x64 only.
 */
export async function ensureLlama(): Promise<void> {
  mkdirSync(`${FOLDER}.cache`, { recursive: true });
  while (!isInstalled()) {
    if (!takeLock()) {
      await sleep(200);
      continue;
    }
    try {
      if (!isInstalled()) await install();
    } finally {
      rmSync(LOCK, { recursive: true, force: true });
    }
  }
}

async function install(): Promise<void> {
  console.log('Installing llama.cpp for the tests (tests/llama, about 160 MB)');
  // The optional packages are builds for other machines and CUDA; the two needed here are direct dependencies.
  await promisify(execFile)('npm', ['ci', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'], {
    cwd: FOLDER,
  });
}

/** npm writes node_modules/.package-lock.json last. */
function isInstalled(): boolean {
  const version = (file: string): string | undefined => {
    if (!existsSync(FOLDER + file)) return undefined;
    const lock = JSON.parse(readFileSync(FOLDER + file, 'utf8')) as { packages: Record<string, { version?: string }> };
    return lock.packages['node_modules/node-llama-cpp']?.version;
  };
  return version('node_modules/.package-lock.json') === version('package-lock.json');
}

function takeLock(): boolean {
  try {
    mkdirSync(LOCK);
    return true;
  } catch {
    const age = existsSync(LOCK) ? Date.now() - statSync(LOCK).mtimeMs : 0;
    if (age > STALE) rmSync(LOCK, { recursive: true, force: true });
    return false;
  }
}
