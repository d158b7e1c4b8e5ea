/**
 * A Chromium whose WebGPU adapter is Mesa's lavapipe (shader-f16, subgroups of 8) instead of SwiftShader: a folder of
 * links to the installed Chromium with one replaced library. The installed one stays unchanged.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { CHROMIUM_FOLDER, lavapipeLibrary } from '../system.ts';

const SHIM_SOURCE = fileURLToPath(new URL('./shim.c', import.meta.url));
const FOLDER = fileURLToPath(new URL('../../../.cache/chromium-lavapipe', import.meta.url));
const SWIFTSHADER = 'libvk_swiftshader.so';
const SWIFTSHADER_RENAMED = 'libvk_swiftshader_real.so';
const SWIFTSHADER_ICD = 'vk_swiftshader_icd.json';
const STAMP = 'built-from.json';

/** Builds it if missing or older than its parts, and returns the path of its executable. */
export async function ensureChromiumLavapipe(): Promise<string> {
  const executable = join(FOLDER, 'chromium');
  const parts = await describeParts();
  const built = await readFile(join(FOLDER, STAMP), 'utf8').catch(() => '');
  if (built === parts) return executable;

  // Built in a temporary folder and renamed, so that an interrupted build never counts as complete.
  const unfinished = `${FOLDER}.${process.pid}`;
  await mkdir(unfinished, { recursive: true });
  try {
    await linkChromium(unfinished);
    await compileShim(join(unfinished, SWIFTSHADER));
    await writeFile(join(unfinished, STAMP), parts);
    await rm(FOLDER, { recursive: true, force: true });
    await rename(unfinished, FOLDER);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return executable;
}

async function describeParts(): Promise<string> {
  const { size, mtimeMs } = await stat(join(CHROMIUM_FOLDER, 'chromium'));
  const shim = await readFile(SHIM_SOURCE, 'utf8');
  return JSON.stringify({ chromium: { size, mtimeMs }, lavapipe: lavapipeLibrary(), shim });
}

async function linkChromium(folder: string): Promise<void> {
  for (const name of await readdir(CHROMIUM_FOLDER)) {
    const original = join(CHROMIUM_FOLDER, name);
    if (name === 'chromium') {
      // Chromium resolves symbolic links to find files near its executable, so this file must be real.
      const copy = join(folder, name);
      await link(original, copy).catch(() => copyFile(original, copy, constants.COPYFILE_FICLONE));
    } else if (name === SWIFTSHADER) {
      await symlink(original, join(folder, SWIFTSHADER_RENAMED));
    } else if (name !== SWIFTSHADER_ICD) {
      await symlink(original, join(folder, name));
    }
  }
  // ANGLE, which draws the page, uses the Vulkan loader and keeps the real SwiftShader.
  const icd = { file_format_version: '1.0.0', ICD: { library_path: `./${SWIFTSHADER_RENAMED}`, api_version: '1.0.5' } };
  await writeFile(join(folder, SWIFTSHADER_ICD), JSON.stringify(icd));
}

async function compileShim(output: string): Promise<void> {
  const define = `-DLAVAPIPE="${lavapipeLibrary()}"`;
  const flags = ['-shared', '-fPIC', '-O2', '-Wall', '-Wextra', '-Werror', '-Wl,-Bsymbolic', define];
  await promisify(execFile)('gcc', [...flags, '-o', output, SHIM_SOURCE, '-ldl']);
}
