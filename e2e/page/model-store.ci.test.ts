import { copyFileSync, rmSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { closeServer } from '../../tests/support/close-server.ts';
import { REAL_MODEL } from '../../tests/support/models/real-model.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { openForTests } from '../support/open-for-tests.ts';

const MODEL = tinyModel({
  architecture: 'llama',
  type: 'F32',
  seed: 2,
  numLayers: 4,
  metadata: { 'general.license': 'mit' },
});
/** Most bytes of a header that is read in advance. */
const HEADER = 4_000_000;

/** Another origin that serves the model, with the faults that a test sets. */
let behaviour: {
  hasRanges: boolean;
  breakAt?: number;
  status?: number;
  version: string;
  claimedSize?: number;
  before?: (from: number) => Promise<unknown>;
};
/** Bytes of bodies sent. */
let sent: number;
let connections: number;
let models: Server;
let modelUrl: string;
const opened = openForTests(serveDemo);

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  response.setHeader('Access-Control-Allow-Origin', '*');
  response.setHeader('Access-Control-Allow-Headers', 'Range');
  response.setHeader('Access-Control-Expose-Headers', 'Content-Range, ETag');
  response.setHeader('ETag', behaviour.version);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  if (request.method === 'OPTIONS' || behaviour.status !== undefined) {
    response.writeHead(behaviour.status ?? 204).end();
    return;
  }
  const from = range && behaviour.hasRanges ? Number(range[1]) : 0;
  const to = range?.[2] && behaviour.hasRanges ? Number(range[2]) + 1 : MODEL.length;
  const isPart = range !== null && behaviour.hasRanges;
  const partial = isPart ? { 'Content-Range': `bytes ${from}-${to - 1}/${behaviour.claimedSize ?? MODEL.length}` } : {};
  await behaviour.before?.(from);
  response.writeHead(isPart ? 206 : 200, { 'Content-Length': to - from, ...partial });
  const { breakAt } = behaviour;
  if (breakAt !== undefined && from < breakAt && to > breakAt) {
    response.write(MODEL.subarray(from, breakAt), () => setTimeout(() => response.destroy(), 50));
    sent += breakAt - from;
  } else {
    response.end(MODEL.subarray(from, to));
    sent += to - from;
  }
}

beforeAll(async () => {
  models = createServer((request, response) => void answer(request, response));
  models.on('connection', () => connections++);
  await new Promise<void>((resolve) => models.listen(0, 'localhost', resolve));
  modelUrl = `http://localhost:${(models.address() as AddressInfo).port}/tiny.gguf`;
  // Replaces the page's own model, which is a link to the real one, by a small one.
  const own = join(opened.server.folder, basename(REAL_MODEL));
  rmSync(own);
  copyFileSync(join(opened.server.folder, 'tiny.gguf'), own);
});
afterAll(() => closeServer(models));
beforeEach(() => {
  behaviour = { hasRanges: true, version: '"1"' };
  sent = 0;
  connections = 0;
});

const link = (): string => `${opened.server.url()}?model=${encodeURIComponent(modelUrl)}`;

async function open(): Promise<DemoPage> {
  const demo = await DemoPage.open(opened.browser, link());
  await demo.accept();
  return demo;
}

async function reload(demo: DemoPage): Promise<void> {
  sent = 0;
  await demo.page.reload();
  await demo.loaded();
}

async function answers(demo: DemoPage): Promise<void> {
  await demo.setMaxTokens(2);
  expect((await demo.ask('Hello')).note).toContain('2 tokens');
}

/** The page's address without its conversation. */
const addressOf = ({ page }: DemoPage): string => page.url().replace(/#.*$/, '');

const modelName = ({ page }: DemoPage): Promise<string> => page.locator('#model').innerText();

it('fetches nothing from a linked address before a click, keeps prompts sent meanwhile, and reopens that model only after consent', async () => {
  const demo = await DemoPage.open(opened.browser, link());
  const { page, prompt } = demo;
  const offer = page.getByTestId('offer');
  await offer.waitFor();
  expect(await demo.read('offer-host')).toBe(new URL(modelUrl).host);
  await demo.setMaxTokens(2);
  await demo.send('Are you there?');
  expect(await page.locator('[data-role=user] .text').innerText()).toBe('Are you there?');
  expect(await demo.answers.locator('.waiting').innerText()).toBe('Waiting for the model …');
  await demo.stop.click();
  expect([await prompt.inputValue(), await page.getByTestId('message').count()]).toEqual(['Are you there?', 0]);
  await prompt.press('Enter');
  await page.reload();
  await offer.waitFor();
  expect(await prompt.inputValue()).toBe('Are you there?');
  await prompt.press('Enter');
  await page.getByTestId('offer-decline').click();
  expect((await demo.answered()).note).toContain('2 tokens');
  expect(await modelName(demo)).toBe('SmolLM2-135M-Instruct.Q4_1');
  expect(addressOf(demo)).toBe(opened.server.url());

  // A redirect from the page's own origin is no better.
  opened.server.leadsTo = modelUrl;
  await page.goto(opened.server.url('leads-on.gguf'));
  await offer.waitFor();
  await page.goto(link());
  await offer.waitFor();
  expect(connections).toBe(0);

  behaviour.status = 404;
  await demo.send('And you?');
  await demo.accept();
  await page.getByTestId('load-error').waitFor();
  expect(connections).toBeGreaterThan(0);
  expect([await prompt.inputValue(), await page.getByTestId('message').count()]).toEqual(['And you?', 0]);
  await prompt.press('Enter'); // no model is open
  expect(await prompt.inputValue()).toBe('And you?');
  delete behaviour.status;
  await page.getByRole('button', { name: 'Try again' }).click();
  await prompt.press('Enter');
  expect((await demo.answered()).note).toContain('2 tokens');
  expect([await modelName(demo), addressOf(demo)]).toEqual(['tiny', opened.server.url()]);
  await reload(demo);
  expect(await modelName(demo)).toBe('tiny');
  await demo.close();
});

it('shows size and licence before a larger download; the open model answers meanwhile; another choice replaces the download at once', async () => {
  const demo = await DemoPage.open(opened.browser, opened.server.url('tiny.gguf'));
  const { page } = demo;
  await demo.loaded();
  await demo.setMaxTokens(3000);
  await demo.sendAndSee('Tell me a long story.');
  behaviour.claimedSize = 200_000_000;
  await demo.typeModel(modelUrl);
  const offer = page.getByTestId('offer');
  await offer.waitFor();
  expect(await offer.innerText()).toMatch(
    /^Download 200\.0 MB\?\s+localhost:\d+\s+Model\s+tiny\s+Size\s+200\.0 MB\s+Licence\s+mit\s/,
  );
  const asked = sent;
  expect(asked).toBeLessThan(HEADER);
  await page.getByRole('button', { name: 'Keep tiny' }).click();
  const story = demo.answers.last().locator('.text');
  const before = (await story.innerText()).length;
  await expect.poll(async () => (await story.innerText()).length).toBeGreaterThan(before);
  expect(sent).toBe(asked);

  await demo.typeModel(modelUrl);
  await demo.accept();
  await page.getByText('Downloading the model').waitFor(); // which never ends
  expect(await page.locator('#loading-about').innerText()).toMatch(/ · tiny answers until then\.$/);
  const meanwhile = (await story.innerText()).length;
  await expect.poll(async () => (await story.innerText()).length).toBeGreaterThan(meanwhile);
  await demo.stop.click();
  await demo.answered();
  await demo.setMaxTokens(2);
  expect((await demo.ask('Who is there?')).note).toContain('2 tokens');
  await demo.typeModel('models/tiny.gguf');
  await demo.loaded();
  expect((await demo.ask('And now?')).note).toContain('2 tokens');
  await demo.close();
});

it('keeps a model: the next visit downloads nothing, needs no server, and downloads it again when it has changed there', async () => {
  const demo = await open();
  await demo.loaded();
  expect(sent).toBeGreaterThan(MODEL.length);
  await reload(demo);
  expect(sent).toBeLessThan(100);
  behaviour.status = 503;
  await reload(demo);
  await answers(demo);
  delete behaviour.status;
  behaviour.version = '"2"';
  await reload(demo);
  expect(sent).toBeGreaterThan(MODEL.length);
  await answers(demo);
  await demo.close();
});

it('resumes after a broken connection', async () => {
  behaviour.breakAt = MODEL.length - 100_000;
  expect(MODEL.length).toBeGreaterThan(2 * HEADER);
  const demo = await open();
  await demo.loaded();
  // The weights were sent once; the header, read in advance, twice.
  expect(sent).toBeLessThan(MODEL.length + HEADER);
  await answers(demo);
  await demo.close();
});

it('resumes the download of an earlier visit', async () => {
  const kept = MODEL.length - 100_000;
  behaviour.breakAt = kept;
  const demo = await open();
  // The server stops before the rest is requested.
  await expect.poll(() => sent, { timeout: 20_000 }).toBeGreaterThanOrEqual(kept);
  behaviour.status = 404;
  await demo.page.getByTestId('load-error').waitFor();
  expect(await demo.read('load-error')).toMatch(/^network – .*status 404$/);
  behaviour = { hasRanges: true, version: '"1"' };
  sent = 0;
  await demo.page.reload();
  await demo.accept();
  await demo.loaded();
  expect(sent).toBeLessThan(MODEL.length - kept + HEADER);
  await answers(demo);
  await demo.close();
});

it('loads from a server without ranges', async () => {
  behaviour.hasRanges = false;
  const demo = await open();
  await demo.loaded();
  await answers(demo);
  await demo.close();
});

it('refuses a model that exceeds the storage, with the numbers, before its weights are downloaded', async () => {
  behaviour.claimedSize = 1e15;
  const demo = await open();
  await demo.page.getByTestId('load-error').waitFor();
  expect(await demo.read('load-error')).toMatch(
    /^over_limit – .*storage: needs 9999999\d{2} MB, but the browser grants \d+ MB$/,
  );
  expect(sent).toBeLessThan(HEADER);
  await demo.close();
});

it('reports a storage that becomes full during a download', async () => {
  const demo = await DemoPage.open(opened.browser, 'about:blank');
  const session = await demo.page.context().newCDPSession(demo.page);
  const { origin } = new URL(opened.server.url());
  // There is room at first, but not for the data after the header.
  behaviour.before = async (from) =>
    from > 0 && (await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: 1 }));
  await demo.page.goto(link());
  await demo.accept();
  await demo.page.getByTestId('load-error').waitFor();
  expect(await demo.read('load-error')).toMatch(
    new RegExp(`^over_limit – .*storage: the browser's storage was full after [1-4]\\d{6} of ${MODEL.length} bytes$`),
  );
  await demo.close();
});
