import puppeteer, { type Browser } from 'puppeteer-core';
import { FIREFOX } from '../../tools/setup/system.ts';

/** Firefox enables WebGPU only on some systems, and not for software adapters. */
const PREFERENCES = { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true };

/** Starts a headless Firefox with its own profile, on the Vulkan driver in the environment. */
export const launchFirefox = (): Promise<Browser> =>
  puppeteer.launch({
    ...{ browser: 'firefox', executablePath: FIREFOX, headless: true, extraPrefsFirefox: PREFERENCES },
    protocolTimeout: 0, // compiling shaders may take long; the test has its own limit
  });
