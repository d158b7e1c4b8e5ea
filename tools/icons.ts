/** Renders the page's icons from demo/public/icons/icon.svg. Run it after a change: node --import tsx tools/icons.ts */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../e2e/support/browser.ts';

const folder = new URL('../demo/public/icons/', import.meta.url);
const svg = readFileSync(new URL('icon.svg', folder), 'utf8');
/** Systems crop a maskable icon, so its background reaches the edges. */
const KINDS = { icon: svg, maskable: svg.replace('rx="14" ', '') };

const browser = await launchBrowser('swiftshader');
const page = await browser.newPage();
for (const [kind, drawing] of Object.entries(KINDS)) {
  for (const size of [192, 512]) {
    await page.setViewportSize({ width: size, height: size });
    await page.setContent(`<style>body { margin: 0 } svg { display: block }</style>${drawing}`);
    await page.screenshot({ path: fileURLToPath(new URL(`${kind}-${size}.png`, folder)), omitBackground: true });
  }
}
await browser.close();
