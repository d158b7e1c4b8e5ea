import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright';
import { createServer } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type * as markdown from '../../demo/chat/markdown.ts';
import { launchBrowser } from '../support/browser.ts';
import { DemoPage } from '../support/demo-page.ts';
import { serveDemo } from '../support/demo-server.ts';
import { watchViolations } from '../support/demo-violations.ts';
import { writeDatabase } from '../support/page-database.ts';

/** Content that could run, be fetched, or imitate the page. */
const HOSTILE = [
  '<img src=x onerror="window.hit=1"><script>window.hit=1</script><iframe src="javascript:parent.hit=1"></iframe>',
  '[a](javascript:window.hit=1) [b](data:text/html,<script>alert(1)</script>) [c](  JaVaScRiPt:window.hit=1) <javascript:window.hit=1>',
  '![tracker](https://tracker.test/pixel.png) <svg><style><img src=x onerror=window.hit=1></style></svg>',
  '<form action="https://tracker.test"><input name="password"></form><style>body { display: none }</style>',
  '| <img src=x onerror=window.hit=1> | `</code><script>window.hit=1</script>` |\n|---|---|\n| <b onclick="window.hit=1">b</b> | x |',
  '```html" onmouseover="window.hit=1\n</code></pre><script>window.hit=1</script>\n```',
  '<details open ontoggle=window.hit=1><summary>x</summary></details><math><mtext></mtext><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=window.hit=1&gt;">',
].join('\n\n');
const FORBIDDEN = 'script, iframe, img, svg, style, form, input, math, details, object, embed, link, meta, base';

const SAMPLE = `# A title

Some *text* with **weight**, \`code\` and a
line break.

1. First
2. Second

   - below it

   \`\`\`ts
   const a = 1;
   \`\`\`

- one

- two
  and more

> A quotation
goes on

| a | b |
|---|---|
| 1 | 2 |

\`\`\`python
def f():

    return 1
\`\`\`

Heading below
---

The end with a [link](https://example.com/x).`;

/** Deeper than the parser's stack. */
const DEEP = `${'> '.repeat(3000)}the end of it`;

let browser: Browser;
beforeAll(async () => {
  browser = await launchBrowser('lavapipe');
});
afterAll(() => browser.close());

it('draws text letter by letter as it does at once, and never redraws finished blocks', async () => {
  const server = await createServer({
    configFile: fileURLToPath(new URL('../../demo/vite.config.ts', import.meta.url)),
    cacheDir: fileURLToPath(new URL('../../.cache/vite-markdown', import.meta.url)), // another test serves the sources at the same time
    logLevel: 'error',
    server: { port: 0, host: 'localhost' },
  });
  await server.listen();
  const address = server.resolvedUrls?.local[0] ?? '';
  try {
    const page = await browser.newPage();
    await page.goto(`${address}adapters/squad/prompt.json`); // the same origin, but not the page itself
    await page.addScriptTag({
      type: 'module',
      content: `globalThis.markdown = await import('${address}chat/markdown.ts')`,
    });
    await page.waitForFunction(() => 'markdown' in globalThis);
    const draw = (texts: string[]) =>
      page.evaluate((texts) => {
        const { MarkdownView } = (globalThis as unknown as { markdown: typeof markdown }).markdown;
        return texts.map((text) => {
          const [grown, whole] = [new MarkdownView(), new MarkdownView()];
          const sampledOnce: Element[] = [];
          for (const letter of text) {
            grown.append(letter);
            sampledOnce.push(...[...grown.element.children].slice(sampledOnce.length, -1));
          }
          whole.append(text);
          const kept = sampledOnce.every((element, i) => grown.element.children[i] === element);
          return { grown: grown.element.innerHTML, whole: whole.element.innerHTML, kept, blocks: sampledOnce.length };
        });
      }, texts);
    const [sample, hostile] = await draw([SAMPLE, HOSTILE]);
    expect(sample?.grown).toBe(sample?.whole);
    expect(sample).toMatchObject({ kept: true, blocks: 8 });
    expect(sample?.whole).toContain('<pre><code class="language-python">def f():\n\n    return 1\n</code></pre>');
    expect(sample?.whole).toContain(
      '<a href="https://example.com/x" target="_blank" rel="noopener noreferrer">link</a>',
    );
    expect(hostile?.grown).toBe(hostile?.whole);
    const [deep] = await draw([DEEP]);
    expect(deep?.grown).toBe(deep?.whole);
    const failed = await page.evaluate(() => {
      const { MarkdownView } = (globalThis as unknown as { markdown: typeof markdown }).markdown;
      const view = new MarkdownView();
      view.append('# Drawn\n\n*a');
      DOMParser.prototype.parseFromString = () => {
        throw new Error('out of stack');
      };
      view.append(' <b>*\n\n');
      view.append('# c');
      return [...view.element.children].map((block) => block.textContent);
    });
    expect(failed).toEqual(['Drawn\n', '*a <b>*\n\n# c']);
  } finally {
    await server.close();
  }
});

it('shows hostile text of a model, a prompt and a title as text', async () => {
  const server = await serveDemo();
  try {
    const context = await browser.newContext({ permissions: ['clipboard-read', 'clipboard-write'] });
    const violations = await watchViolations(context);
    const requests: string[] = [];
    context.on('request', (request) => void requests.push(request.url()));
    const demo = await DemoPage.openIn(context, server.url('tiny.gguf'));
    const { page } = demo;
    await demo.loaded();
    const exchange = {
      prompt: HOSTILE,
      form: 'chat',
      answer: `${HOSTILE}\n\n${SAMPLE}\n\n${DEEP}`,
      state: 'done',
      note: HOSTILE,
    };
    const conversation = { id: '"]<img>', title: HOSTILE, changed: 1, systemPrompt: HOSTILE, exchanges: [exchange] };
    await writeDatabase(page, 'chunkwise-page', 'values', {
      'conversation x': conversation,
      'conversation y': { id: 7 },
    });
    await page.reload();
    await demo.loaded();
    await page.locator('.conversation').click();
    const answer = demo.answers.first();
    await answer.locator('.markdown h3').waitFor();
    expect(await page.locator('.messages, .conversations').locator(FORBIDDEN).count()).toBe(0);
    const links = await answer.locator('a').evaluateAll((all) => all.map((link) => link.getAttribute('href')));
    expect(links.filter((href) => href !== null && !href.startsWith('https://'))).toEqual([]);
    const handlers = await page.evaluate(() =>
      [...document.querySelectorAll('.messages *, .conversations *')]
        .flatMap((each) => each.getAttributeNames())
        .filter((name) => name.startsWith('on')),
    );
    expect(handlers).toEqual([]);
    // Blocked content is named, not dropped.
    expect(await answer.innerText()).toContain('<script>window.hit=1</script>');
    expect(await answer.innerText()).toContain('the end of it');
    expect(await page.locator('.conversation').innerText()).toContain('<img src=x');

    await answer.locator('.code').last().getByRole('button', { name: 'Copy' }).click();
    await answer.getByRole('button', { name: 'Copied' }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe('def f():\n\n    return 1\n');
    await page.getByRole('button', { name: /^Actions for/ }).click();
    await page.getByRole('button', { name: 'Rename' }).click();
    await page.keyboard.press('Enter');
    expect(await page.evaluate('window.hit')).toBeUndefined();
    expect(requests.filter((url) => new URL(url).origin !== new URL(page.url()).origin)).toEqual([]);
    expect(violations).toEqual([]);
  } finally {
    await server.close();
  }
});
