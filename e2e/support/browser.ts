import { join } from 'node:path';
import type { Browser, BrowserContext, LaunchOptions } from 'playwright';
import { chromium } from 'playwright';
import { ensureChromiumLavapipe } from '../../tools/setup/chromium-lavapipe/build.ts';
import { CHROMIUM_FOLDER } from '../../tools/setup/system.ts';

/** The two software adapters: `swiftshader` is Chrome's for users without a GPU; `lavapipe` adds shader-f16. */
export type AdapterKind = 'swiftshader' | 'lavapipe';

/** Without this flag Chromium on Linux rejects software adapters. */
const UNSAFE_WEBGPU = '--enable-unsafe-webgpu';

const ARGUMENTS = [
  '--no-sandbox',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--disable-quic',
];

/**
 * Chromium gives a page no GPU after the second crash of its process within minutes, and switches to another kind of
 * GPU after the third.
 */
export const MANY_CRASHES = ['--disable-gpu-process-crash-limit', '--disable-domain-blocking-for-3d-apis'];

/** Starts a headless Chromium on one of the software adapters, or without any. `more`: further arguments. */
export async function launchBrowser(kind: AdapterKind | 'no WebGPU', more: readonly string[] = []): Promise<Browser> {
  return chromium.launch(await optionsOf(kind, more));
}

/** launchBrowser with the profile of an earlier run in the folder `profile`. */
export async function launchWithProfile(kind: AdapterKind, profile: string): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profile, await optionsOf(kind));
}

async function optionsOf(kind: AdapterKind | 'no WebGPU', more: readonly string[] = []): Promise<LaunchOptions> {
  const executablePath = kind === 'lavapipe' ? await ensureChromiumLavapipe() : join(CHROMIUM_FOLDER, 'chromium');
  const args = [...ARGUMENTS, ...(kind === 'no WebGPU' ? [] : [UNSAFE_WEBGPU]), ...more];
  return { executablePath, args, headless: true };
}

/** Builds missing parts once before the first test, because test files run in parallel. Called by vitest. */
export default async function setup(): Promise<void> {
  await ensureChromiumLavapipe();
}
