import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { watchHeap } from '../support/heap-watch.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { importPackage, loadUntil, servePackage } from '../support/package-page.ts';

/** V8 leaves about 80 MB of garbage for any file size; held data come on top. */
const BOUND = 130e6;
const LARGE = { numLayers: 2, hiddenSize: 1024, intermediateSize: 3072, numHeads: 16 };

const opened = openForTests(servePackage);

it("a GGUF file is never completely in JavaScript's memory during download, storage, verification and upload", async () => {
  const model = tinyModel({ architecture: 'llama', type: 'F32', seed: 2, ...LARGE });
  expect(model.length).toBeGreaterThan(90e6);
  writeFileSync(join(opened.server.folder, 'large.gguf'), model);
  const page = await opened.browser.newPage();
  await importPackage(page, opened.server);
  const watch = await watchHeap(page);
  await loadUntil(page, 'compile', { model: 'models/large.gguf' });
  const { peak, samples } = watch.stop();
  expect(samples).toBeGreaterThan(10);
  expect(peak).toBeLessThan(BOUND);
});
