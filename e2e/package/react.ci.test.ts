import type { Locator, Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import { serveApp } from '../support/app-server.ts';
import { openForTests } from '../support/open-for-tests.ts';
import type { ChatProps } from '../react-app/main.ts';

const MODEL = 'models/tiny.gguf';

const opened = openForTests(() => serveApp('react-app'));
let page: Page;
let workersStarted = 0;

beforeAll(async () => {
  page = await opened.browser.newPage();
  page.on('worker', () => workersStarted++);
  await page.goto(opened.server.url());
});

const show = (...chats: ChatProps[]): Promise<void> => page.evaluate((props) => globalThis.show(props), chats);
const stateOf = (id: string): Locator => page.locator(`#${id} output`);
const press = (id: string, name: string): Promise<void> => page.locator(`#${id}`).getByRole('button', { name }).click();

/** Waits until a chat says so. */
const expectState = async (id: string, state: RegExp): Promise<void> =>
  expect.poll(() => stateOf(id).innerText(), { timeout: 60_000 }).toMatch(state);

it('loads one engine in StrictMode, for all components with equal options, and keeps it through renders', async () => {
  await show({ id: 'a', model: MODEL, contextLength: 256 }, { id: 'b', model: MODEL, contextLength: 256 });
  await expectState('a', /^loading/);
  await expectState('a', /^ready with 256/);
  await expectState('b', /^ready with 256/);
  await press('a', 'Render');
  await expectState('a', /^ready with 256.*rendered 1$/);
  await show({ id: 'a', model: MODEL, contextLength: 256 }, { id: 'b', model: MODEL, contextLength: 256 });
  expect(workersStarted).toBe(1);
});

it('streams an answer into its messages, and stops', async () => {
  await press('a', 'Send');
  await expectState('a', /streaming/);
  await expect
    .poll(
      () =>
        page
          .locator('#a .assistant')
          .innerText()
          .catch(() => ''),
      { timeout: 60_000 },
    )
    .not.toBe('');
  await press('a', 'Stop');
  await expectState('a', /idle, no error/);
  expect(await page.locator('#a .user').allInnerTexts()).toEqual(['Hi']);
  expect(await page.locator('#b p').count()).toBe(0);
  await press('b', 'Send');
  await expect
    .poll(
      () =>
        page
          .locator('#b .assistant')
          .innerText()
          .catch(() => ''),
      { timeout: 60_000 },
    )
    .not.toBe('');
});

it('keeps the engine while one component is left, and ends it after the last', async () => {
  await show({ id: 'b', model: MODEL, contextLength: 256 });
  await press('b', 'Stop');
  await expectState('b', /^ready with 256, idle/);
  // One that takes the place of another has its engine.
  await show({ id: 'c', model: MODEL, contextLength: 256 });
  await expectState('c', /^ready with 256/);
  expect(workersStarted).toBe(1);
  await show();
  await expect.poll(() => page.workers().length).toBe(0);
});

it('loads again for who comes later, and for other options in place of the engine before', async () => {
  await show({ id: 'a', model: MODEL, contextLength: 256 });
  await expectState('a', /^ready with 256/);
  await show({ id: 'a', model: MODEL, contextLength: 512 });
  await expectState('a', /^ready with 512/);
  await expect.poll(() => page.workers().length).toBe(1);
  expect(workersStarted).toBe(3);
});

it('reports why a model cannot be loaded, and loads another', async () => {
  await show({ id: 'a', model: 'models/missing.gguf' });
  await expectState('a', /^failed: network/);
  await show({ id: 'a', model: MODEL, contextLength: 512 });
  await expectState('a', /^ready with 512/);
});
