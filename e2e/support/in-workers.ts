import type { BrowserContext, Page } from 'playwright';

/** Has the workers of documents that open from now on run `code` first. */
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
