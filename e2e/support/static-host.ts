import { createServer, type Server } from 'node:http';
import type { Locator, Page } from 'playwright';
import sirv from 'sirv';

/** A plain static host of the folder `root`; port 0 is any. */
export async function startHost(root: string, port: number): Promise<Server> {
  const serve = sirv(root, { dev: true });
  const server = createServer((request, response) => serve(request, response));
  await new Promise<void>((resolve) => server.listen(port, 'localhost', resolve));
  return server;
}

/** The notice that asks before an update. */
export const updateNotice = (page: Page): Locator =>
  page.locator('.notice', { hasText: 'A new version of this page is available.' });
