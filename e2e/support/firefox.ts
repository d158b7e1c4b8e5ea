import puppeteer, { type Browser } from 'puppeteer-core';
import { FIREFOX } from '../../tools/setup/system.ts';

/** Its WebGPU is not for every system yet, and not for software adapters. */
const PREFERENCES = { 'dom.webgpu.enabled': true, 'gfx.webgpu.ignore-blocklist': true };

/** Starts a headless Firefox in a profile of its own, on the Vulkan driver that the environment names. */
export const launchFirefox = (): Promise<Browser> =>
  puppeteer.launch({
    ...{ browser: 'firefox', executablePath: FIREFOX, headless: true, extraPrefsFirefox: PREFERENCES },
    protocolTimeout: 0, // shaders compile as long as they do: the test has a limit of its own
  });
