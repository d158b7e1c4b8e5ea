import { AxeBuilder } from '@axe-core/playwright';
import type { Page } from 'playwright';
import { PHONE, SCREEN } from './in-sight.ts';

/**
 * Findings of axe, and whether the page, an open dialog or a list is wider than its place, at these sizes. The dark
 * scheme changes colours alone, so there axe looks at contrast only. Leaves the page at the size of a screen.
 */
export async function accessibilityFaults(page: Page, sizes = [PHONE, SCREEN]): Promise<string[]> {
  const found: string[] = [];
  const look = async (where: string, axe: AxeBuilder): Promise<void> => {
    for (const { id, nodes } of (await axe.analyze()).violations)
      found.push(...nodes.map(({ target }) => `${where}: ${id} ${target.join(' ')}`));
  };
  for (const size of sizes) {
    await page.setViewportSize(size);
    await look(`at ${size.width}`, new AxeBuilder({ page }));
    const wide = await page.evaluate(() =>
      [document.documentElement, ...document.querySelectorAll('dialog[open], .model-list')]
        .filter((each) => each.scrollWidth > each.clientWidth)
        .map((each) => each.id || each.tagName),
    );
    found.push(...wide.map((name) => `at ${size.width}: ${name} is too wide`));
  }
  await page.setViewportSize(SCREEN);
  await page.emulateMedia({ colorScheme: 'dark' });
  await look('dark', new AxeBuilder({ page }).withRules(['color-contrast']));
  await page.emulateMedia({ colorScheme: 'light' });
  return found;
}
