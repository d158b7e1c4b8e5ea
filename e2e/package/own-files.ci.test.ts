import { expect, it } from 'vitest';
import { openForTests } from '../support/open-for-tests.ts';
import { importPackage, loadModel, servePackage, stored } from '../support/package-page.ts';

const opened = openForTests(servePackage);

it("a page's own files, a handle of its private file system and a File, answer as the model by its URL, and are not stored", async () => {
  const page = await opened.browser.newPage();
  await importPackage(page, opened.server);
  const handle = await page.evaluateHandle(async () => {
    const handle = await (await navigator.storage.getDirectory()).getFileHandle('own.gguf', { create: true });
    const { body } = await fetch('models/tiny.gguf');
    await body?.pipeTo(await handle.createWritable());
    return [handle];
  });
  const file = await page.evaluateHandle(async () => [
    new File([await (await fetch('models/tiny.gguf')).blob()], 'own.gguf'),
  ]);
  const own = [await loadModel(page, { model: handle }), await loadModel(page, { model: file })];
  expect(await stored(page)).toEqual({ list: [], size: 0 });
  const { text } = await loadModel(page, { model: 'models/tiny.gguf' });
  expect(text).not.toBe('');
  expect(own).toMatchObject([{ text }, { text }]);
  for (const { phases } of own) expect(phases).not.toContain('download');
});
