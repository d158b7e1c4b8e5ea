import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import type { ChunkwiseError } from '../../src/api/index.ts';
import type {} from '../web-llm-app/main.ts';
import { serveApp } from '../support/app-server.ts';
import { openForTests } from '../support/open-for-tests.ts';

const opened = openForTests(() => serveApp('web-llm-app'));
let page: Page;
let model: string;
/** External addresses, none of which is reached. */
const asked: string[] = [];

beforeAll(async () => {
  page = await opened.browser.newPage();
  await page.route(/^https:/, (route) => {
    asked.push(route.request().url());
    return route.abort();
  });
  await page.goto(opened.server.url());
  await page.waitForFunction(() => 'app' in globalThis);
  model = `${opened.server.url()}models/tiny.gguf`;
});

/** More than this package and less than web-llm. */
const WEB_LLM_BYTES = 1e6;

/** Bytes of the largest script loaded by the page. */
const largestScript = (): Promise<number> =>
  page.evaluate(() => {
    const scripts = performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.js'));
    return Math.max(...scripts.map((script) => (script as PerformanceResourceTiming).decodedBodySize));
  });

it('runs a web-llm app after a change of its import only', async () => {
  const reply = await page.evaluate((url) => globalThis.app.getStarted(url), model);
  expect(reply).toMatchObject({
    object: 'chat.completion',
    choices: [{ index: 0, finish_reason: 'length', message: { role: 'assistant' } }],
    usage: { completion_tokens: 16 },
  });
  expect(reply.usage?.extra.decode_tokens_per_s).toBeGreaterThan(0);
  expect(await page.locator('#init-label').innerText()).toMatch(/^Loading model/);
  expect(await page.locator('#generate-label').innerText()).not.toBe('');
  expect(await page.locator('#stats-label').innerText()).toBe('12 tokens');
  // The model is not web-llm's, so web-llm was not loaded.
  expect(await largestScript()).toBeLessThan(WEB_LLM_BYTES);
  expect(asked).toEqual([]);
});

it('completes texts, can be interrupted, describes the device, and refuses calls without a counterpart', async () => {
  const result = await page.evaluate(async (url) => {
    const { webllm } = globalThis.app;
    const progress: number[] = [];
    // As in an app with its own worker, which this runtime leaves alone.
    const worker = { onmessage: null, postMessage: () => progress.push(-1) };
    const engine = await webllm.CreateWebWorkerMLCEngine(worker, url, {
      initProgressCallback: (report) => progress.push(report.progress),
    });
    const before = await engine.runtimeStatsText();
    const completion = await engine.completions.create({ prompt: 'One', max_tokens: 3, temperature: 0 });
    const stats = await engine.runtimeStatsText();
    let text = '';
    const chunks = await engine.chat.completions.create({ messages: [{ role: 'user', content: 'Hi' }], stream: true });
    for await (const chunk of chunks) {
      text += chunk.choices[0]?.delta.content ?? '';
      if (text !== '') engine.interruptGenerate();
    }
    const isWhole = text === (await engine.getMessage());
    await engine.resetChat();
    const codeOf = (work: Promise<unknown>): Promise<string> =>
      work.then(
        () => 'fine',
        ({ code, detail }: ChunkwiseError) => `${code} ${detail.field}`,
      );
    const embeddings = await engine.embeddings.create({ input: ['Hi', 'Ho'] });
    const messages = [{ role: 'user' as const, content: 'Hi' }];
    const refused = [
      await codeOf(engine.forwardTokensAndSample([1], true)),
      await codeOf(engine.chat.completions.create({ messages, ignore_eos: true })),
      await codeOf(engine.reload(url, { sliding_window_size: 64 })),
      await codeOf(engine.reload([url, 'Llama-3.1-8B-Instruct-q4f32_1-MLC'])),
      await codeOf(engine.getMessage()),
    ];
    const limit = await engine.getMaxStorageBufferBindingSize();
    return {
      progress,
      before,
      completion,
      stats,
      isWhole,
      refused,
      embeddings,
      limit,
      vendor: await engine.getGPUVendor(),
    };
  }, model);
  expect(result.progress.length).toBeGreaterThan(1);
  expect(result.progress.every((share) => share >= 0 && share <= 1)).toBe(true);
  expect(result.completion).toMatchObject({ object: 'text_completion', usage: { completion_tokens: 3 } });
  expect(result.before).toBe('');
  expect(result.stats).toMatch(/tokens\/sec/);
  expect(result.embeddings.data.map(({ embedding }) => Math.hypot(...embedding))).toEqual([
    expect.closeTo(1, 5),
    expect.closeTo(1, 5),
  ]);
  expect(result.isWhole).toBe(true);
  expect(result.limit).toBeGreaterThanOrEqual(128 * 2 ** 20);
  expect(result.vendor).toBe('google');
  expect(result.refused).toEqual([
    'unsupported forwardTokensAndSample',
    'bad_request ignore_eos',
    'unsupported chatOpts.sliding_window_size',
    'unsupported modelId',
    'disposed undefined',
  ]);
});

it("hands a model in MLC's format to web-llm, with its config", async () => {
  const load = (id: string, record?: { model: string; model_lib: string }): Promise<void> =>
    page.evaluate(
      async ([model_id, listed]) => {
        const config = listed && { appConfig: { model_list: [{ model_id, ...listed }] } };
        await globalThis.app.webllm.CreateMLCEngine(model_id, config).catch(() => undefined); // its files are unreachable
      },
      [id, record] as const,
    );
  // From web-llm's own list.
  await load('Llama-3.2-1B-Instruct-q4f32_1-MLC');
  expect(asked).toContain(
    'https://huggingface.co/mlc-ai/Llama-3.2-1B-Instruct-q4f32_1-MLC/resolve/main/mlc-chat-config.json',
  );
  expect(await largestScript()).toBeGreaterThan(WEB_LLM_BYTES);
  // From the app's list.
  await load('ours', { model: 'https://models.test/ours', model_lib: 'https://models.test/ours.wasm' });
  expect(asked).toContain('https://models.test/ours/resolve/main/mlc-chat-config.json');
});
