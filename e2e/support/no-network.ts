import { expect } from 'vitest';
import type { Page } from 'playwright';

/** Expects that the page reaches no server. After a reload Chromium's `navigator.onLine` forgets that the network is off. */
export async function expectNoNetwork(page: Page): Promise<void> {
  const reached = await page.evaluate(() =>
    fetch('models/none').then(
      () => 'answered',
      () => 'no network',
    ),
  );
  expect(reached).toBe('no network');
}
