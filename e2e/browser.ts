import { join } from 'node:path';
import type { Browser } from 'playwright';
import { chromium } from 'playwright';
import { ensureChromiumLavapipe } from '../tools/chromium-lavapipe/build.ts';
import { CHROMIUM_FOLDER } from '../tools/system.ts';

/** The two software adapters: `swiftshader` is what Chrome gives a user without a GPU, `lavapipe` adds shader-f16. */
export type AdapterKind = 'swiftshader' | 'lavapipe';

const ARGUMENTS = [
  '--no-sandbox',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
  '--enable-unsafe-webgpu',
];

/** Starts a headless Chromium on one of the software adapters. */
export async function launchBrowser(kind: AdapterKind): Promise<Browser> {
  const executablePath = kind === 'lavapipe' ? await ensureChromiumLavapipe() : join(CHROMIUM_FOLDER, 'chromium');
  return chromium.launch({ executablePath, args: ARGUMENTS, headless: true });
}
