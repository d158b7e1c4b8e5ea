import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { CONFIG_FILE, peftSource, tinyAdapter, WEIGHTS_FILE } from '../../tests/support/models/tiny-adapter.ts';
import { BytesSource } from '../../tests/support/bytes-source.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { servePackage, visit } from '../support/package-page.ts';

declare global {
  var started: Map<string, Worker>;
  /** Messages of the engine's worker to its threads. */
  var ports: MessagePort[];
}

const opened = openForTests(servePackage);
let page: Page;

/** The built package in a page. */
beforeAll(async () => {
  page = await opened.browser.newPage();
  await visit(page, opened.server);
  await page.workers()[0]?.evaluate(() => {
    // The page starts all threads: in Firefox a worker that starts one may wait forever.
    Object.assign(globalThis, { Worker: undefined });
    globalThis.ports = [];
    globalThis.MessageChannel = class extends MessageChannel {
      constructor() {
        super();
        globalThis.ports.push(this.port1);
      }
    };
  });
  // Workers started from now on are kept by name, so that a test can end them.
  await page.evaluate(() => {
    globalThis.started = new Map();
    const Plain = globalThis.Worker;
    globalThis.Worker = class extends Plain {
      constructor(url: string | URL, options?: WorkerOptions) {
        super(url, options);
        globalThis.started.set(options?.name ?? '', this);
      }
    };
  });
});

it('answers whole and in a stream, with the same text for the same seed', async () => {
  const result = await page.evaluate(async () => {
    const { engine } = globalThis;
    const request = { messages: [{ role: 'user' as const, content: 'Hi' }], max_tokens: 12, seed: 5 };
    const whole = await engine.chat.completions.create(request);
    const tokens: Chunkwise.TokenEvent[] = [];
    const remove = engine.on('token', (event) => tokens.push(event));
    let text = '';
    let last: Chunkwise.ChatCompletionChunk | undefined;
    const streamed = { ...request, stream: true as const, stream_options: { include_usage: true } };
    const chunks = await engine.chat.completions.create(streamed);
    for await (const chunk of chunks) {
      text += chunk.choices[0]?.delta.content ?? '';
      last = chunk;
    }
    remove();
    await engine.completions.create({ prompt: 'One two', max_tokens: 3 });
    const counted = await engine.countTokens(request.messages);
    return { whole, text, tokens, last, counted, contextLength: engine.contextLength };
  });
  expect(result.whole.choices[0]).toMatchObject({ finish_reason: 'length', message: { content: result.text } });
  expect(result.whole.usage).toMatchObject({ prompt_tokens: result.counted, completion_tokens: 12 });
  expect(result.last?.usage?.prompt_tokens_details.cached_tokens).toBe(result.counted - 1);
  expect(result.last?.chunkwise?.dispatchesPerLayer).toBeGreaterThan(0);
  expect(result.tokens.length).toBe(12);
  expect(result.tokens.at(-1)?.contextUsed).toBe(result.counted + 12);
  expect(result.contextLength).toBe(1024);
});

it('frees the engine when a loop ends early and when a signal aborts', async () => {
  const result = await page.evaluate(async () => {
    const { engine } = globalThis;
    const request = { messages: [{ role: 'user' as const, content: 'Tell me a long story.' }], temperature: 0 };
    let seen = 0;
    const counted = engine.on('token', () => seen++);
    for await (const chunk of await engine.chat.completions.create({ ...request, stream: true })) {
      if (seen >= 5 && chunk.choices.length > 0) break;
    }
    const seenAtBreak = seen;
    const abort = new AbortController();
    const aborts = engine.on('token', () => abort.abort(new Error('enough')));
    const failed = engine.chat.completions
      .create(request, { signal: abort.signal })
      .catch((error: Chunkwise.ChunkwiseError) => ({
        name: error.name,
        code: error.code,
        cause: (error.cause as Error).message,
      }));
    const error = await failed;
    aborts();
    counted();
    const after = await engine.chat.completions.create({ ...request, max_tokens: 2 });
    return { seenAtBreak, error, tokens: after.usage.completion_tokens };
  });
  expect(result.seenAtBreak).toBe(5);
  expect(result.error).toEqual({ name: 'AbortError', code: 'aborted', cause: 'enough' });
  expect(result.tokens).toBe(2);
});

it('throws typed errors: for the request, the context, the queue', async () => {
  const errors = await page.evaluate(async () => {
    const { engine } = globalThis;
    const ask = (content: string, rest: object = {}) =>
      engine.chat.completions.create({ messages: [{ role: 'user' as const, content }], max_tokens: 60, ...rest });
    const codeOf = (work: Promise<unknown>) =>
      work.then(
        () => 'fine',
        (error: Chunkwise.ChunkwiseError) => `${error.code} ${error.detail.field}`,
      );
    // Four run in parallel, and one may wait.
    const queued = ['One.', 'Two.', 'Three.', 'Four.', 'Five.', 'Six.'].map((content) => codeOf(ask(content)));
    return {
      queued: await Promise.all(queued),
      request: await codeOf(ask('x', { temperature: -1 })),
      context: await codeOf(ask('😀'.repeat(250_000))),
    };
  });
  expect(errors.queued.sort()).toEqual([...Array<string>(5).fill('fine'), 'queue_full queueLimit']);
  expect(errors.request).toBe('bad_request temperature');
  expect(errors.context).toBe('context_overflow prompt');
});

it('answers with an adapter, in PEFT form, beside the model, and without it again', async () => {
  const gguf = await openGguf([new BytesSource('tiny.gguf', readFileSync(join(opened.server.folder, 'tiny.gguf')))]);
  const source = peftSource(tinyAdapter(readModelConfig(gguf), { seed: 3, gain: 2 }));
  if (!('config' in source)) throw new Error('not in PEFT form');
  writeFileSync(join(opened.server.folder, CONFIG_FILE), await source.config.read(0, source.config.size));
  writeFileSync(join(opened.server.folder, WEIGHTS_FILE), await source.weights.read(0, source.weights.size));
  const result = await page.evaluate(async () => {
    const { engine } = globalThis;
    const ask = async (adapter?: string): Promise<string | null | undefined> => {
      const messages = [{ role: 'user' as const, content: 'Hi' }];
      const answer = await engine.chat.completions.create({ messages, max_tokens: 12, temperature: 0, adapter });
      return answer.choices[0]?.message.content;
    };
    // Its text stays in the prefix cache: loading and unloading it again takes no more memory.
    await engine.adapters.load('tiny', 'models/');
    await ask();
    await ask('tiny');
    await engine.adapters.unload('tiny');
    const before = await engine.memory();
    const info = await engine.adapters.load('tiny', 'models/');
    const memory = await engine.memory();
    const listed = await engine.adapters.list();
    const texts = [await ask(), await ask('tiny'), await ask()];
    const unknown = await ask('other').catch((error: unknown) => (error as Chunkwise.ChunkwiseError).code);
    const missing = await engine.adapters
      .load('missing', './models/nowhere')
      .catch((error: unknown) => (error as Chunkwise.ChunkwiseError).code);
    await engine.adapters.unload('tiny');
    return { before, info, memory, listed, texts, unknown, missing, after: await engine.memory() };
  });
  expect(result.info).toMatchObject({ name: 'tiny', rank: 4 });
  expect(result.listed).toEqual([result.info]);
  expect(result.memory.adapters).toBe(result.info.bytes);
  expect(result.texts[1]).not.toBe(result.texts[0]);
  expect(result.texts[2]).toBe(result.texts[0]);
  expect([result.unknown, result.missing]).toEqual(['bad_request', 'network']);
  expect(result.after).toEqual(result.before);
});

it('emits plans from a thread; when it ends one request fails and the next works', async () => {
  await page.evaluate(async () => void (await globalThis.engine.adapters.load('planned', 'models/')));
  const ask = () =>
    page.evaluate(async () => {
      const { engine } = globalThis;
      const told: Chunkwise.PlanEvent[] = [];
      const levels: (number | undefined)[] = [];
      const removes = [
        engine.on('plan', (event) => told.push(event)),
        engine.on('token', ({ level }) => levels.push(level)),
      ];
      const messages = [{ role: 'user' as const, content: Math.random() + ' one and two and three.'.repeat(20) }];
      const request = { messages, max_tokens: 8, temperature: 0, adapter: 'planned' };
      try {
        const { id, usage, chunkwise } = await engine.chat.completions.create(request);
        return { id, usage, told, levels, meanRank: chunkwise.meanRank };
      } catch (error) {
        return { code: (error as Chunkwise.ChunkwiseError).code };
      } finally {
        for (const remove of removes) remove();
      }
    });
  const first = await ask();
  if (!first.told) throw new Error(first.code);
  expect(new Set(first.told.map(({ id }) => id))).toEqual(new Set([first.id]));
  expect(first.told.at(-1)?.end).toBe(first.usage.total_tokens);
  // The same adapter answered under another name, so the start of a chat was in the prefix cache.
  const cached = first.usage.prompt_tokens_details.cached_tokens;
  expect(first.told.flatMap(({ rows }) => rows)).toHaveLength(first.usage.total_tokens - cached);
  expect(first.levels).toEqual(first.levels.map(() => expect.any(Number) as number));
  expect(first.meanRank).toBeGreaterThan(0);
  // It ends instead of returning the second part of the next plan.
  await page.evaluate(() => {
    const channel = new BroadcastChannel('second part');
    channel.onmessage = () => globalThis.started.get('scheduler')?.terminate();
  });
  await page.workers()[0]?.evaluate(() => {
    let parts = 0;
    for (const port of globalThis.ports) {
      const post = port.postMessage.bind(port) as (...sent: unknown[]) => void;
      port.postMessage = (message: { path?: string[] }, ...rest: unknown[]) => {
        if (message.path?.[0] !== 'part' || ++parts !== 2) post(message, ...rest);
        else new BroadcastChannel('second part').postMessage('');
      };
    }
  });
  expect((await ask()).code).toBe('scheduler_lost');
  expect((await ask()).usage?.completion_tokens).toBe(8);
});

it('ends everything at dispose', async () => {
  const codes = await page.evaluate(async () => {
    const { engine } = globalThis;
    // Greedy, since a sampled answer may end at once.
    const request = { messages: [{ role: 'user' as const, content: 'Story.' }], temperature: 0 };
    const ask = () => engine.chat.completions.create(request);
    const code = (error: Chunkwise.ChunkwiseError): string => error.code;
    const begun = new Promise((resolve) => engine.on('token', resolve));
    const running = ask().then(() => 'fine', code);
    await begun;
    await engine.dispose();
    await engine.dispose();
    return [await running, await ask().then(() => 'fine', code), await engine.memory().then(() => 'fine', code)];
  });
  expect(codes).toEqual(['disposed', 'disposed', 'disposed']);
  await expect.poll(() => page.workers().length).toBe(0);
});
