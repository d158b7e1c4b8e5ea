import { join } from 'node:path';
import type { Browser } from 'playwright';
import { chromium } from 'playwright';
import { ensureChromiumLavapipe } from '../tools/chromium-lavapipe/build.ts';
import { CHROMIUM_FOLDER } from '../tools/system.ts';

/** The two software adapters: `swiftshader` is what Chrome gives a user without a GPU, `lavapipe` adds shader-f16. */
export type AdapterKind = 'swiftshader' | 'lavapipe';

/** Without it Chromium on Linux takes no software adapter. */
const UNSAFE_WEBGPU = '--enable-unsafe-webgpu';

const ARGUMENTS = [
  '--no-sandbox',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
];

/** Starts a headless Chromium on one of the software adapters, or without any. */
export async function launchBrowser(kind: AdapterKind | 'no WebGPU'): Promise<Browser> {
  const executablePath = kind === 'lavapipe' ? await ensureChromiumLavapipe() : join(CHROMIUM_FOLDER, 'chromium');
  const args = kind === 'no WebGPU' ? ARGUMENTS : [...ARGUMENTS, UNSAFE_WEBGPU];
  return chromium.launch({ executablePath, args, headless: true });
}

/** Before the first test, once: test files run side by side, and each would build what is missing. Called by vitest. */
export default async function setup(): Promise<void> {
  await ensureChromiumLavapipe();
}
