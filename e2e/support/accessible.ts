import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from 'playwright';
import { PHONE, SCREEN } from './in-sight.ts';

/**
 * Findings of axe in both colour schemes, and whether the page, an open dialog or a list is wider than its place, at these
 * sizes. Leaves the page at the size of a screen, in the light scheme.
 */
export async function accessibilityFaults(page: Page, sizes = [PHONE, SCREEN]): Promise<string[]> {
  const found: string[] = [];
  for (const size of sizes) {
    await page.setViewportSize(size);
    for (const colorScheme of ['dark', 'light'] as const) {
      await page.emulateMedia({ colorScheme });
      for (const { id, nodes } of (await new AxeBuilder({ page }).analyze()).violations)
        found.push(...nodes.map(({ target }) => `at ${size.width}, ${colorScheme}: ${id} ${target.join(' ')}`));
    }
    const wide = await page.evaluate(() =>
      [document.documentElement, ...document.querySelectorAll('dialog[open], .model-list')]
        .filter((each) => each.scrollWidth > each.clientWidth)
        .map((each) => each.id || each.tagName),
    );
    found.push(...wide.map((name) => `at ${size.width}: ${name} is too wide`));
  }
  await page.setViewportSize(SCREEN);
  return found;
}
