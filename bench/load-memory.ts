// JavaScript memory while a generated safetensors model (F32; CHUNKWISE_GIGABYTES, default 1) is downloaded, stored,
// verified, quantized and uploaded in Chromium: heap and ArrayBuffers of the page and its workers, by the DevTools
// protocol. It measures bytes, not time, so any device works.
import { createServer } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { launchBrowser } from '../e2e/support/browser.ts';
import { importPackage, loadUntil, servePackage } from '../e2e/support/package-page.ts';
import { watchHeap } from '../e2e/support/heap-watch.ts';
import { LargeModel } from '../tests/support/models/large-model.ts';
import { record } from './support/results.ts';

const BOUND = 150e6;
const gigabytes = Number(process.env['CHUNKWISE_GIGABYTES'] ?? 1);

const model = await LargeModel.create(gigabytes * 1e9);
const models = createServer((request: IncomingMessage, response: ServerResponse) => model.answer(request, response));
await new Promise<void>((resolve) => models.listen(0, '127.0.0.1', resolve));
const endpoint = `http://127.0.0.1:${(models.address() as AddressInfo).port}`;
const server = await servePackage();
const browser = await launchBrowser('swiftshader');
try {
  const page = await browser.newPage();
  await importPackage(page, server);
  const watch = await watchHeap(page);
  await loadUntil(page, 'compile', { model: 'owner/large', hub: { endpoint } }); // later memory belongs to the compiler
  const { peak, samples } = watch.stop();
  if (samples === 0) throw new Error('no sample was taken');
  const section = { fileBytes: model.size, samples, peakBytes: peak };
  await record('load-memory', `Chromium ${browser.version()}`, section);
  console.log(`${JSON.stringify(section)}: ${peak <= BOUND ? 'within' : 'above'} ${BOUND} bytes`);
  process.exitCode = peak <= BOUND ? 0 : 1;
} finally {
  await browser.close();
  await server.close();
  models.close();
}
