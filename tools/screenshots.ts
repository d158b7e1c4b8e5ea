/** Takes the screenshots in docs/ from the built page with the default model: npm run screenshots [-- FOLDER] */
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { preview } from 'vite';
import { launchBrowser } from '../e2e/support/browser.ts';
import { DemoPage } from '../e2e/support/demo-page.ts';
import { ensureModel } from './setup/fetch-model.ts';

const WIDTHS = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } };
type Width = keyof typeof WIDTHS;
const folder = process.argv[2] ?? fileURLToPath(new URL('../docs', import.meta.url));

await ensureModel();
const config = fileURLToPath(new URL('../demo/vite.config.ts', import.meta.url));
const server = await preview({ configFile: config, logLevel: 'warn', preview: { port: 0 } });
const browser = await launchBrowser('lavapipe');
try {
  const demo = await DemoPage.open(browser, server.resolvedUrls?.local[0] ?? '');
  const { page } = demo;
  await page.setViewportSize(WIDTHS.wide);
  page.setDefaultTimeout(240_000);
  await demo.loaded();
  await demo.setMaxTokens(64);
  await demo.ask('Give me three tips for better sleep, as a numbered list.');

  // The README's first picture: questions about a text with answers.
  await newChat(page);
  await demo.chooseAdapter('squad');
  await askExample(demo);
  await demo.ask('Who built the lighthouse?');
  await demo.ask('When did the last keeper leave the island?');
  await toggleMeasurements(page);
  await take(page, 'answer', 'wide', 'light');
  await take(page, 'answer', 'narrow', 'dark');

  await newChat(page);
  await demo.chooseAdapter('shakespeare');
  await demo.setMaxTokens(32);
  await page.getByTestId('compare').check();
  await askExample(demo);
  await page.locator('.compared-verdict').scrollIntoViewIfNeeded();
  await take(page, 'compare', 'wide', 'light');
  await page.getByTestId('compare').uncheck();
  await demo.setMaxTokens(64);

  await newChat(page);
  await askExample(demo);
  await toggleMeasurements(page);
  await demo.openDetails();
  await page.getByTestId('rank-strip').locator('summary').click();
  await page.waitForTimeout(300); // the page scrolls
  await take(page, 'details', 'wide', 'light');
  await toggleMeasurements(page);

  await newChat(page);
  await page.getByRole('button', { name: 'Model:' }).click();
  await page.locator('#models[open]').waitFor();
  await take(page, 'models', 'wide', 'light');
} finally {
  await browser.close();
  await server.close();
}

/** Sends the adapter's example, which may be fetched first, and waits for the whole answer. */
async function askExample(demo: DemoPage): Promise<void> {
  await demo.page.getByRole('button', { name: 'Example' }).click();
  await demo.page.locator('#send:enabled').waitFor();
  await demo.prompt.press('Enter');
  await demo.answered();
}

async function newChat(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'New chat' }).click();
}

async function toggleMeasurements(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Measurements' }).click();
}

/** The page's state. */
async function take(page: Page, name: string, width: Width, colorScheme: 'light' | 'dark'): Promise<void> {
  await page.setViewportSize(WIDTHS[width]);
  await page.emulateMedia({ colorScheme });
  await page.mouse.move(0, 0);
  await page.waitForTimeout(200); // canvases are redrawn
  await page.screenshot({ path: `${folder}/screenshot-${name}-${width}.png` });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(WIDTHS.wide);
}
