import { join } from 'node:path';
import type { Browser, Page } from 'playwright';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine } from '../../src/api/index.ts';
import { type OpenaiServer, startOpenaiServer } from '../../tests/openai-server/openai-server.ts';
import { launchBrowser } from '../support/browser.ts';
import { openClients, serveClients } from '../support/clients-page.ts';
import type { DemoServer } from '../support/demo-server.ts';

const KEY = 'sk-the-key-of-the-test';

let pages: DemoServer;
let server: OpenaiServer;
let browser: Browser;
/** Requests from the page to the server. */
let sent: string[];

beforeAll(async () => {
  pages = await serveClients();
  server = await startOpenaiServer(join(pages.folder, 'tiny.gguf'), KEY);
});
afterAll(async () => {
  await server.close();
  await pages.close();
});

async function openPage(kind: 'swiftshader' | 'no WebGPU'): Promise<Page> {
  browser = await launchBrowser(kind);
  const page = await browser.newPage();
  sent = [];
  page.on('request', (request) => {
    if (request.url().startsWith(server.baseURL)) sent.push(request.url().slice(server.baseURL.length));
  });
  await openClients(page, pages);
  return page;
}

/** Loads an engine with the server as its fallback, and calls every method. */
const ask = (page: Page, options: { memoryLimitBytes?: number } = {}) =>
  page.evaluate(
    async ([baseURL, apiKey, more]) => {
      const engine: Engine = await globalThis.clients.createEngine({
        model: 'models/tiny.gguf',
        contextLength: 512,
        fallback: { baseURL, apiKey },
        ...more,
      });
      globalThis.held = engine;
      const request = { messages: [{ role: 'user' as const, content: 'Hi' }], max_tokens: 6, temperature: 0 };
      const whole = await engine.chat.completions.create({ ...request, kv: 'q8' });
      let text = '';
      const told = new Set<string | undefined>();
      for await (const chunk of await engine.chat.completions.create({ ...request, stream: true })) {
        text += chunk.choices[0]?.delta.content ?? '';
        if (chunk.chunkwise) told.add(chunk.chunkwise.answeredBy);
      }
      const completion = await engine.completions.create({ prompt: 'One two', max_tokens: 3, temperature: 0 });
      const fetched = await engine.fetch('/v1/chat/completions', {
        method: 'POST',
        body: JSON.stringify({ ...request, stream: true }),
      });
      const events = await fetched.text();
      return {
        by: engine.answeredBy,
        device: engine.device,
        whole,
        text,
        told: [...told],
        completion: [completion.chunkwise?.answeredBy, completion.choices[0]?.text.length],
        header: fetched.headers.get('chunkwise-answered-by'),
        isDone: events.trimEnd().endsWith('data: [DONE]'),
      };
    },
    [server.baseURL, KEY, options] as const,
  );

describe('without WebGPU', () => {
  let page: Page;
  beforeAll(async () => void (page = await openPage('no WebGPU')));
  afterAll(() => browser.close());

  it('a server answers, and the response says so', async () => {
    const result = await ask(page);
    expect(result).toMatchObject({ by: 'server', told: ['server'], header: 'server', isDone: true });
    expect(result.device).toContain(server.baseURL);
    expect(result.whole).toMatchObject({
      object: 'chat.completion',
      usage: { completion_tokens: 6 },
      chunkwise: { answeredBy: 'server' },
    });
    expect(result.text).toBe(result.whole.choices[0]?.message.content);
    expect(result.completion[0]).toBe('server');
    expect(sent.filter((route) => route === '/chat/completions').length).toBeGreaterThanOrEqual(3);
  });

  it('refuses device-only features with typed errors', async () => {
    const codes = await page.evaluate(async () => {
      const { held: engine } = globalThis;
      const messages = [{ role: 'user' as const, content: 'Hi' }];
      const codeOf = (work: Promise<unknown>) =>
        work.then(
          () => 'fine',
          ({ code, detail }: { code: string; detail: { field?: string } }) => [code, detail.field],
        );
      const mixed = [{ name: 'a' }, { name: 'b' }];
      const abort = new AbortController();
      const stream = await engine.chat.completions.create({ messages, stream: true }, { signal: abort.signal });
      const aborted = codeOf(
        (async () => {
          for await (const chunk of stream) if (chunk.choices.length > 0) abort.abort();
        })(),
      );
      return {
        memory: await codeOf(engine.memory()),
        saveCache: await codeOf(engine.saveCache('x')),
        mixed: await codeOf(engine.chat.completions.create({ messages, adapter: mixed })),
        adapter: await codeOf(engine.adapters.load('nowhere', 'x/')),
        long: await codeOf(
          engine.chat.completions.create({ messages: [{ role: 'user', content: 'word '.repeat(4000) }] }),
        ),
        aborted: await aborted,
        disposed: await engine.dispose().then(() => codeOf(engine.chat.completions.create({ messages }))),
      };
    });
    expect(codes).toEqual({
      memory: ['unsupported', 'memory'],
      saveCache: ['unsupported', 'saveCache'],
      mixed: ['unsupported', 'adapter'],
      adapter: ['bad_request', 'name'],
      long: ['context_overflow', undefined],
      aborted: ['aborted', undefined],
      disposed: ['disposed', undefined],
    });
  });

  it('never reveals the key in an error', async () => {
    const errors = await page.evaluate(
      async ([baseURL]) => {
        const { createEngine } = globalThis.clients;
        const apiKey = 'sk-a-wrong-key';
        const echo = () =>
          Promise.resolve(Response.json({ error: { message: `Incorrect key: ${apiKey}` } }, { status: 401 }));
        const fail = async (fallback: object) => {
          try {
            await createEngine({ model: 'models/tiny.gguf', fallback: { baseURL, apiKey, ...fallback } });
            return 'fine';
          } catch (error) {
            const { code, message, detail } = error as { code: string; message: string; detail: object };
            return JSON.stringify([code, message, detail]);
          }
        };
        return [
          await fail({}),
          await fail({ fetch: echo }),
          await fail({ baseURL: 'http://localhost:9/v1' }),
          await fail({ apiKey: 5 }),
        ];
      },
      [server.baseURL] as const,
    );
    expect(errors.map((error) => (JSON.parse(error) as string[])[0])).toEqual([
      'network',
      'network',
      'network',
      'bad_request',
    ]);
    for (const error of errors) expect(error).not.toContain('sk-a-wrong-key');
  });
});

describe('with WebGPU', () => {
  let page: Page;
  beforeAll(async () => void (page = await openPage('swiftshader')));
  afterAll(() => browser.close());

  it('the device answers, and the server is not asked', async () => {
    const result = await ask(page);
    expect(result).toMatchObject({
      by: 'device',
      told: ['device'],
      completion: ['device', expect.any(Number)],
      header: 'device',
      isDone: true,
    });
    expect(result.whole.chunkwise).toMatchObject({
      answeredBy: 'device',
      dispatchesPerLayer: expect.any(Number) as unknown,
    });
    expect(sent).toEqual([]);
    await page.evaluate(() => globalThis.held.dispose());
  });

  it('the server answers where the model is too large', async () => {
    expect(await ask(page, { memoryLimitBytes: 1000 })).toMatchObject({ by: 'server', told: ['server'] });
  });
});
