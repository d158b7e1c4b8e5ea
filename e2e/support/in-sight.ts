import type { Page } from 'playwright';

export const PHONE = { width: 390, height: 844 };
export const SCREEN = { width: 1280, height: 800 };

/** The shown matching elements that are partly outside the view or covered. */
export function outOfSight(page: Page, selector: string): Promise<string[]> {
  return page.locator(selector).evaluateAll((elements) => {
    const isSeen = (element: Element): boolean => {
      const { left, right, top, bottom } = element.getBoundingClientRect();
      const [x, y] = [(left + right) / 2, (top + bottom) / 2];
      const edges: [number, number][] = [
        [left + 2, y],
        [right - 2, y],
        [x, top + 2],
        [x, bottom - 2],
      ];
      return edges.every((point) => element.contains(document.elementFromPoint(...point)));
    };
    return elements
      .filter((element) => element.checkVisibility() && !isSeen(element))
      .map((element) => element.id || element.textContent);
  });
}

/** outOfSight at the sizes of a phone and a screen. */
export async function outOfSightAnywhere(page: Page, selector: string): Promise<string[]> {
  const found: string[] = [];
  for (const size of [PHONE, SCREEN]) {
    await page.setViewportSize(size);
    found.push(...(await outOfSight(page, selector)).map((name) => `${name} at ${size.width} x ${size.height}`));
  }
  return found;
}
