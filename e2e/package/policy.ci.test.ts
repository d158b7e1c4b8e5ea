import type { Page } from 'playwright';
import { expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { launchBrowser } from '../support/browser.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { importPackage, servePackage } from '../support/package-page.ts';

const opened = openForTests(servePackage, () => launchBrowser('no WebGPU'));

/** Opens a page with the package whose document has this header. */
async function visit(header: string, policy: string): Promise<Page> {
  const page = await opened.browser.newPage();
  await page.route('**', async (route) => {
    if (!route.request().isNavigationRequest()) return route.fallback();
    const response = await route.fetch();
    return route.fulfill({ response, headers: { ...response.headers(), [header]: policy } });
  });
  await importPackage(page, opened.server);
  return page;
}

const refusal = (page: Page) =>
  page.evaluate(async () => {
    try {
      await globalThis.chunkwise.createEngine({ model: 'models/tiny.gguf' });
      return { code: 'none' };
    } catch (error) {
      const { code, message } = error as Chunkwise.ChunkwiseError;
      return { code, message };
    }
  });

const SCRIPTS = "script-src 'self' 'unsafe-inline'";

it.each([`${SCRIPTS}; worker-src 'self'`, SCRIPTS])(
  'a policy that lets no worker start from a blob is told by the directive that it lacks: %s',
  async (policy) => {
    const page = await visit('content-security-policy', policy);
    expect(await refusal(page)).toEqual({
      code: 'unsupported',
      message: expect.stringMatching(/^Content-Security-Policy: .*`worker-src blob:`/) as string,
    });
    await page.close();
  },
);

it.each([
  ['content-security-policy', `${SCRIPTS}; worker-src blob:`],
  ['content-security-policy-report-only', `${SCRIPTS}; worker-src 'self'`],
])('%s: %s lets it start, which finds no GPU', async (header, policy) => {
  const page = await visit(header, policy);
  expect(await refusal(page)).toMatchObject({ code: 'no_webgpu' });
  await page.close();
});
