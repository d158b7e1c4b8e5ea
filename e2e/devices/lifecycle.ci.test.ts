import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { PIECE_BYTES } from '../../src/downloads/file-download.ts';
import { openForKills, piecesModel } from '../support/open-for-kills.ts';
import { importPackage } from '../support/package-page.ts';

const FILE = 'small.gguf';
const MODEL = piecesModel({ numLayers: 1, intermediateSize: 4096, contextLength: 128 });

const opened = openForKills(FILE, MODEL);
let page: Page;

beforeAll(async () => {
  page = await (await opened.browser.newContext()).newPage();
  await opened.killer.prepare(page);
  await importPackage(page, opened.server);
  expect(await create()).toEqual({});
});

interface Created {
  code?: string;
  file?: string | undefined;
  reason?: string;
}

const create = (onPage = page): Promise<Created> =>
  onPage.evaluate(async (model) => {
    try {
      globalThis.engine = await globalThis.chunkwise.createEngine({ model, contextLength: 128 });
      return {};
    } catch (error) {
      const { code, detail } = error as Chunkwise.ChunkwiseError;
      return { code, ...detail };
    }
  }, opened.modelUrl);

const ask = (): Promise<string> =>
  page.evaluate(async () => {
    const answer = await globalThis.engine.completions.create({ prompt: 'One two', max_tokens: 6, temperature: 0 });
    return answer.choices[0]?.text ?? '';
  });

it('downloads a model again that was deleted elsewhere, when the GPU is lost', async () => {
  const text = await ask();
  const other = await page.context().newPage();
  await importPackage(other, opened.server);
  await other.evaluate(async () =>
    (await navigator.storage.getDirectory()).removeEntry('chunkwise-models', { recursive: true }),
  );
  await other.close();
  opened.hub.forget();
  await opened.killer.kill();
  expect(await ask()).toBe(text);
  expect(opened.hub.sentBytes(FILE)).toBe(MODEL.length);
  // Without the server: a typed error, and the next request tries again.
  await page.evaluate(async () =>
    (await navigator.storage.getDirectory()).removeEntry('chunkwise-models', { recursive: true }),
  );
  opened.hub.behaviour.instead = ({ response }) => Boolean(response.writeHead(404).end());
  await opened.killer.kill();
  const failed = await page.evaluate(() =>
    globalThis.engine.completions.create({ prompt: 'One two' }).then(
      () => ({}),
      ({ code, message }: Chunkwise.ChunkwiseError) => ({ code, message }),
    ),
  );
  expect(failed).toEqual({
    code: 'network',
    message: expect.stringMatching(/small\.gguf: its copy in the browser's storage is gone: .*404/) as string,
  });
  opened.hub.behaviour = {};
  expect(await ask()).toBe(text);
});

it('refuses invalid options, listeners, signals and requests, naming the field', async () => {
  const codes = await page.evaluate(async (model) => {
    const { engine, chunkwise } = globalThis;
    type Loose = (...values: unknown[]) => unknown;
    const loose = engine as unknown as {
      on: Loose;
      chat: { completions: { create: Loose } };
      embeddings: { create: Loose };
      adapters: { unload: Loose };
    };
    const codeOf = async (call: () => unknown): Promise<string> => {
      try {
        await call();
        return 'fine';
      } catch (error) {
        const { code, detail } = error as Chunkwise.ChunkwiseError;
        return `${code} ${detail?.field}`;
      }
    };
    const messages = [{ role: 'user', content: 'Hi' }];
    const chat = loose.chat.completions.create;
    const createEngine = chunkwise.createEngine as Loose;
    const cyclic: Record<string, unknown> = {};
    cyclic['self'] = cyclic;
    return {
      event: await codeOf(() => loose.on('nothing', () => undefined)),
      listener: await codeOf(() => loose.on('token', 5)),
      signal: await codeOf(() => chat({ messages, max_tokens: 1 }, { signal: {} })),
      options: await codeOf(() => chat({ messages, max_tokens: 1 }, 5)),
      request: await codeOf(() => chat(null)),
      getter: await codeOf(() =>
        chat({
          get messages() {
            throw new Error('broken');
          },
        }),
      ),
      schema: await codeOf(() =>
        chat({ messages, response_format: { type: 'json_schema', json_schema: { schema: cyclic } } }),
      ),
      embed: await codeOf(() => loose.embeddings.create({ input: 'x' }, { signal: 'now' })),
      unload: await codeOf(() => loose.adapters.unload(Symbol('name'))),
      none: await codeOf(() => createEngine()),
      created: await codeOf(() => createEngine({ model, signal: {} })),
      progress: await codeOf(() => createEngine({ model, onProgress: 'often' })),
      broken: await codeOf(() =>
        createEngine({
          get model() {
            throw new Error('broken');
          },
        }),
      ),
      after: await codeOf(() => chat({ messages, max_tokens: 1 }, { signal: null })),
    };
  }, opened.modelUrl);
  expect(codes).toEqual({
    event: 'bad_request event',
    listener: 'bad_request listener',
    signal: 'bad_request signal',
    options: 'bad_request options',
    request: 'bad_request request',
    getter: 'bad_request request',
    schema: 'bad_request response_format.json_schema.schema',
    embed: 'bad_request signal',
    unload: 'bad_request name',
    none: 'bad_request options',
    created: 'bad_request signal',
    progress: 'bad_request onProgress',
    broken: 'bad_request options',
    after: 'fine',
  });
});

/** Results of pending and of later calls when the worker ends. */
const end = (how: 'terminate' | 'close' | 'dispose'): Promise<(string | undefined)[]> =>
  page.evaluate(async (how) => {
    const { engine, threads } = globalThis;
    const codeOf = (work: Promise<unknown>) =>
      work.then(
        () => 'fine',
        ({ code }: Chunkwise.ChunkwiseError) => code,
      );
    const request = { prompt: 'Once', max_tokens: 100, temperature: 0 };
    const begun = new Promise<void>((resolve) => engine.on('token', () => resolve()));
    const answers = [codeOf(engine.completions.create(request)), codeOf(engine.saveCache('x'))];
    await begun;
    const disposals: Promise<string>[] = [];
    if (how === 'terminate') threads.at(-1)?.terminate();
    else if (how === 'close') threads.at(-1)?.postMessage('close');
    else disposals.push(codeOf(engine.dispose()), codeOf(engine.dispose()));
    const during = await Promise.all([...answers, ...disposals]);
    return [
      ...during,
      await codeOf(engine.completions.create(request)),
      await codeOf(engine.memory()),
      await codeOf(engine.dispose()),
    ];
  }, how);

it.each(['terminate', 'close'] as const)(
  'ends all calls when the worker ends by %s; a new engine works',
  async (how) => {
    const text = await ask();
    expect(await end(how)).toEqual(['disposed', 'disposed', 'disposed', 'disposed', 'fine']);
    expect(await create()).toEqual({});
    expect(await ask()).toBe(text);
  },
);

it('can be disposed repeatedly', async () => {
  expect(await end('dispose')).toEqual(['disposed', 'disposed', 'fine', 'fine', 'disposed', 'disposed', 'fine']);
  await expect.poll(() => page.workers().length).toBe(0);
});

it('restarts a download when the site’s data are cleared meanwhile', async () => {
  const fresh = await (await opened.browser.newContext()).newPage();
  await importPackage(fresh, opened.server);
  const { held, release } = opened.hub.holdEnd(PIECE_BYTES);
  const creating = create(fresh);
  await held;
  const session = await fresh.context().newCDPSession(fresh);
  await session.send('Storage.clearDataForOrigin', {
    origin: new URL(opened.server.url()).origin,
    storageTypes: 'all',
  });
  release();
  expect(await creating).toEqual({});
  await fresh.context().close();
});
