/** Takes the pictures in docs/ of the built page with the default model: npm run screenshots [-- FOLDER] */
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { preview } from 'vite';
import { launchBrowser } from '../e2e/support/browser.ts';
import { DemoPage } from '../e2e/support/demo-page.ts';
import { ensureModel } from './setup/fetch-model.ts';

const WIDTHS = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } };
const folder = process.argv[2] ?? fileURLToPath(new URL('../docs', import.meta.url));

await ensureModel();
const config = fileURLToPath(new URL('../demo/vite.config.ts', import.meta.url));
const server = await preview({ configFile: config, logLevel: 'warn', preview: { port: 0 } });
const browser = await launchBrowser('swiftshader');
try {
  const demo = await DemoPage.open(browser, server.resolvedUrls?.local[0] ?? '');
  await demo.page.setViewportSize(WIDTHS.wide);
  demo.page.setDefaultTimeout(240_000);
  await demo.loaded();
  await demo.setMaxTokens(100);
  await demo.ask('Give me three tips for better sleep, as a numbered list.');
  await newChat(demo.page);
  await demo.ask('Write a Python function that reverses a string.');
  await take(demo.page, 'chats', ['light'], async (width) => {
    if (width === 'narrow') await demo.page.getByRole('button', { name: 'Chats' }).click();
  });
  await demo.page.keyboard.press('Escape');

  await newChat(demo.page);
  await demo.chooseAdapter('squad');
  await demo.page.getByTestId('compare').check();
  await askExample(demo);
  await demo.answered();
  await take(demo.page, 'compare', ['light'], () => demo.page.getByTestId('comparison').scrollIntoViewIfNeeded());
  await demo.page.getByTestId('compare').uncheck();

  await newChat(demo.page);
  await demo.chooseAdapter('shakespeare');
  await askExample(demo);
  await demo.answered();
  await demo.page.getByTestId('rank-strip').locator('summary').click();
  await demo.page.waitForTimeout(300); // it scrolls into view
  await take(demo.page, '', ['light', 'dark']);
} finally {
  await browser.close();
  await server.close();
}

/** Sends the adapter's own example, which may first be fetched. */
async function askExample({ page, prompt }: DemoPage): Promise<void> {
  await page.getByRole('button', { name: 'Example' }).click();
  await page.locator('#send:enabled').waitFor();
  await prompt.press('Enter');
}

async function newChat(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'New chat' }).click();
}

/** The state the page is in, at both widths. A picture of one scheme alone does not name it. */
async function take(
  page: Page,
  name: string,
  schemes: ('light' | 'dark')[],
  ready?: (width: string) => Promise<void>,
): Promise<void> {
  for (const [width, size] of Object.entries(WIDTHS)) {
    await page.setViewportSize(size);
    await ready?.(width);
    for (const colorScheme of schemes) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(200); // canvases are drawn anew
      const parts = ['screenshot', name, width, schemes.length > 1 ? colorScheme : ''].filter((part) => part !== '');
      await page.screenshot({ path: `${folder}/${parts.join('-')}.png` });
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(WIDTHS.wide);
}
