import type { BrowserContext, Page } from 'playwright';

/** Runs `code` first in workers of documents that open from now on. */
export async function firstInWorkers(pages: BrowserContext | Page, code: string): Promise<void> {
  await pages.addInitScript((code) => {
    globalThis.Worker = class extends Worker {
      constructor(url: string | URL, options?: WorkerOptions) {
        const request = new XMLHttpRequest();
        request.open('GET', url, false);
        request.send();
        super(URL.createObjectURL(new Blob([code, '\n', request.responseText], { type: 'text/javascript' })), options);
      }
    };
  }, code);
}
