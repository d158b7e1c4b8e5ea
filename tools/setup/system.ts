/** Debian packages that the tests need besides Node, and their installation. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const ICD_FOLDER = '/usr/share/vulkan/icd.d';
const LIBRARY_FOLDERS = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((triple) => join('/usr/lib', triple));

/** Debian's folder of Chromium; the launcher in /usr/bin adds the system's flags, which tests do not use. */
export const CHROMIUM_FOLDER = '/usr/lib/chromium';

export const FIREFOX = '/usr/bin/firefox-esr';

/** A Debian package and a check whether its files exist from any source. */
const NEEDS: { name: string; present: () => boolean }[] = [
  { name: 'chromium', present: () => existsSync(join(CHROMIUM_FOLDER, 'chromium')) },
  { name: 'firefox-esr', present: () => existsSync(FIREFOX) },
  { name: 'mesa-vulkan-drivers', present: () => lavapipeIcd() !== undefined },
  { name: 'libvulkan1', present: () => LIBRARY_FOLDERS.some((folder) => existsSync(join(folder, 'libvulkan.so.1'))) },
  { name: 'gcc', present: () => hasCommand('gcc') },
  { name: 'libc6-dev', present: () => existsSync('/usr/include/dlfcn.h') },
  // For the instrument that compiles for absent GPUs.
  { name: 'libvulkan-dev', present: () => existsSync('/usr/include/vulkan/vulkan.h') },
  { name: 'spirv-tools', present: () => hasCommand('spirv-as') },
];

/** The Vulkan loader's description of lavapipe (a JSON file); undefined without Mesa's drivers. */
export const lavapipeIcd = (): string | undefined => icdOf('lvp');

/** The same for Mesa's AMD driver. */
export const radvIcd = (): string | undefined => icdOf('radeon');

function icdOf(driver: string): string | undefined {
  if (!existsSync(ICD_FOLDER)) return undefined;
  const name = readdirSync(ICD_FOLDER).find((entry) => new RegExp(`^${driver}_icd(\\.\\w+)?\\.json$`).test(entry));
  return name === undefined ? undefined : join(ICD_FOLDER, name);
}

/** lavapipe's library in its ICD file: a path, or a bare name for the dynamic linker. */
export function lavapipeLibrary(): string {
  const icd = lavapipeIcd();
  if (icd === undefined) throw new Error('lavapipe is missing: install mesa-vulkan-drivers');
  const { ICD } = JSON.parse(readFileSync(icd, 'utf8')) as { ICD: { library_path: string } };
  return ICD.library_path;
}

function hasCommand(command: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, command)));
}

/** Installs Debian packages; throws one line with their names if that is impossible (no root, no apt). */
export function installPackages(names: string[]): void {
  const list = names.join(' ');
  if (process.getuid?.() !== 0 || !hasCommand('apt-get')) {
    throw new Error(`missing from this system: ${list} (on Debian: sudo apt-get install ${list})`);
  }
  const apt = (...args: string[]): void => {
    execFileSync('apt-get', args, { stdio: 'inherit', env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } });
  };
  console.log(`installing ${list}`);
  apt('update');
  apt('install', '--yes', '--no-install-recommends', ...names);
}

/** Installs everything that the tests need from the system. */
export function ensureSystem(): void {
  const missing = (): string[] => NEEDS.filter((need) => !need.present()).map((need) => need.name);
  const before = missing();
  if (before.length === 0) return;
  installPackages(before);
  const after = missing();
  if (after.length > 0) throw new Error(`still missing after apt-get install: ${after.join(' ')}`);
}
