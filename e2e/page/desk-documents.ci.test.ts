import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { tinyPdf, type TinyPdfOptions } from '../support/tiny-pdf.ts';
import { expectNoNetwork } from '../support/no-network.ts';

const ADAPTERS = fileURLToPath(new URL('../../demo/public/adapters/', import.meta.url));
const KEEPER = ['The last keeper of the lighthouse, Tomas Brandt,', 'left the island in 1974.'];

const opened = openForTests(serveDemo);
let demo: DemoPage;
let page: Page;
let violations: string[];
beforeAll(async () => {
  for (const name of ['answerable', 'squad-alora'])
    cpSync(join(ADAPTERS, name), join(opened.server.adapters, name), { recursive: true });
  const context = await opened.browser.newContext();
  violations = await watchViolations(context);
  demo = await DemoPage.openIn(context, opened.server.url());
  page = demo.page;
  page.setDefaultTimeout(600_000); // three passages, on a software adapter
  return () => demo.close();
});

/** A paragraph with an empty line; ten of them are three passages. */
function pageOfText(number: number): string[] {
  const trades = [
    'bakers',
    'weavers',
    'masons',
    'smiths',
    'tanners',
    'coopers',
    'dyers',
    'millers',
    'potters',
    'glaziers',
  ];
  const trade = trades[number % trades.length] ?? '';
  return [
    `In those years the ${trade} of the town kept a book of their own.`,
    `Whoever wanted to join the ${trade} had to live there for`,
    'seven years, and to pay two silver coins to the common chest.',
    'The book was read aloud each spring, and nobody could change it.',
    '',
  ];
}
const TEN_PAGES = Array.from({ length: 10 }, (_, i) => (i === 6 ? [...KEEPER, '', ...pageOfText(i)] : pageOfText(i)));

const fileOf = (name: string, pages: readonly (readonly string[])[], options?: TinyPdfOptions) => ({
  name,
  mimeType: 'application/pdf',
  buffer: tinyPdf(pages, options),
});
const input = () => page.locator('.desk input[type=file]');

async function answered(): Promise<void> {
  await page.locator('#desk-question').fill('Who was the last keeper of the lighthouse?');
  await page.locator('#desk-ask:enabled').click();
  await page.locator('.cited').waitFor();
  await page.locator('#desk-ask').waitFor();
  expect(await page.locator('.desk mark').innerText()).toBe('Tomas Brandt');
  expect(await page.locator('.cited').innerText()).toBe(KEEPER.join(' '));
}

it('names a PDF that it cannot read, and why', async () => {
  const requests: string[] = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.locator('#open-desk').click();
  await page.locator('#desk-text').waitFor();
  const refused = async (file: ReturnType<typeof fileOf>, reason: string | RegExp): Promise<void> => {
    await input().setInputFiles(file);
    await page.locator('.desk-document [role=alert]').getByText(reason).waitFor();
  };
  expect(requests.filter((url) => /\/pdf/.test(url))).toEqual([]); // it is loaded with the first PDF
  await refused(fileOf('scan.pdf', [[], []]), 'scan.pdf has no text: its pages may be pictures.');
  await refused(fileOf('secret.pdf', [KEEPER], { isEncrypted: true }), 'secret.pdf is encrypted: a password opens it.');
  const cut = { ...fileOf('cut.pdf', [KEEPER]), buffer: Buffer.from('%PDF-1.4\n1 0 obj\n<<') };
  await refused(cut, 'cut.pdf is not a PDF, or a damaged one.');
  const chinese = fileOf('song.pdf', [KEEPER], { encoding: 'GBK-EUC-H' });
  await refused(chinese, /^song\.pdf has a font whose character map is not here \(.*GBK-EUC-H/);
  const long = Array.from({ length: 80 }, (_, i) => Array.from({ length: 10 }, () => pageOfText(i)).flat());
  await refused(fileOf('long.pdf', long), 'long.pdf has more than 150,000 characters, and no more are read.');
});

it('answers a question about a PDF of ten pages with three clicks, and says on which page', async () => {
  const name = 'town.pdf';
  await page.locator('.desk input[type=file]').setInputFiles(fileOf(name, TEN_PAGES));
  await page.locator('.desk-facts').getByText(', 10 pages').waitFor();
  const text = await page.locator('.desk-text').innerText();
  const paragraphs = [0, 1].map((i) => pageOfText(i).slice(0, 4).join(' '));
  expect(text.split(/\n\n+/).slice(0, 2)).toEqual(paragraphs);
  await answered();
  expect(await page.locator('.desk-step').last().locator('dt').innerText()).toBe('Rests on, page 7');
});

it('reads PDFs and answers without network or server after its first use', async () => {
  await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
  await page.context().setOffline(true);
  await page.reload();
  await demo.loaded();
  await expectNoNetwork(page);
  await page.locator('#open-desk').click();
  await page.locator('#desk-text').waitFor();
  await input().setInputFiles(fileOf('keeper.pdf', [KEEPER]));
  await answered();
  expect(violations).toEqual([]);
});
