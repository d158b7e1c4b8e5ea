import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, Page } from 'puppeteer-core';
import { beforeAll, expect, it } from 'vitest';
import { FileSource } from '../../src/node/file-source.ts';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import type * as Chunkwise from '../../src/api/index.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import type { GenerateOptions } from '../../src/engine/types.ts';
import { ADAPTERS_HERE } from '../../tests/support/adapters/adapters-here.ts';
import { CONFIG_FILE, WEIGHTS_FILE } from '../../tests/support/models/tiny-adapter.ts';
import { answer } from '../../tests/support/answer.ts';
import { REAL_MODEL } from '../../tests/support/models/real-model.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { type DemoServer, writeAdapter } from '../support/demo-server.ts';
import { launchFirefox } from '../support/firefox.ts';
import { servePackage } from '../support/package-page.ts';

/**
 * A model with the scripted one's shapes whose kernels compile fast. Lavapipe takes seconds per kernel, and longest for
 * those of prompts over four tokens, which only the page's answer needs here.
 */
const SMALL = tinyModel({
  ...{ architecture: 'llama', type: 'F32', seed: 71, numLayers: 1, contextLength: 512, neverEnds: true },
  ...{ hiddenSize: 128, intermediateSize: 128, numHeads: 2, numKvHeads: 2 },
});
const PROMPT = 'Sea';
/** Makes pages shrink. */
const TOKENS = 170;
const GRAMMAR = 'root ::= "the " ("red" | "green" | "blue") " sea"';

let server: DemoServer;
let firefox: Browser;
let page: Page;
/** On lavapipe, like Firefox. */
let node: LocalEngine;

const openInNode = async (path: string): Promise<LocalEngine> =>
  openEngine({ gpu: nodeGpu(), wait: napping, sources: [await FileSource.open(path)], ...ADAPTERS_HERE });

beforeAll(async () => {
  server = await servePackage();
  const file = join(server.folder, 'small.gguf');
  writeFileSync(file, SMALL);
  await writeAdapter(join(server.adapters, 'small'), SMALL);
  firefox = await launchFirefox();
  page = await firefox.newPage();
  await page.goto(`${server.url()}index.js`); // any document of this origin will do
  await page.addScriptTag({
    type: 'module',
    content: "import * as chunkwise from '/index.js'; globalThis.chunkwise = chunkwise;",
  });
  await page.waitForFunction(() => 'chunkwise' in globalThis);
  node = await openInNode(file);
  return async () => {
    await firefox.close();
    await server.close();
    node.dispose();
  };
});

/** Opens an engine in `globalThis.engine` without autotuning, whose kernels take long to compile. */
const load = (model: string) =>
  page.evaluate(async (model) => {
    globalThis.engine = await globalThis.chunkwise.createEngine({ model, autotune: false });
  }, `${server.url()}models/${model}`);

const inNode = (options: Partial<GenerateOptions> = {}) =>
  answer(node.complete(PROMPT, { sampling: GREEDY, stop: [], maxTokens: 12, ...options }));

const inFirefox = (options: Partial<Chunkwise.CompletionRequest> = {}) =>
  page.evaluate(
    async (request) => {
      const { choices, chunkwise, usage } = await globalThis.engine.completions.create(request);
      return { text: choices[0]?.text, pages: chunkwise?.kv?.pages, usage, ms: chunkwise?.msPerToken?.median ?? NaN };
    },
    { prompt: PROMPT, max_tokens: 12, temperature: 0, ...options, stream: false as const },
  );

it('answers from 16 bits, from q4 and with a policy as Node does', async () => {
  await load('small.gguf');
  // The other forms have kernels of the same text with other constants; tests/naga compiles each.
  for (const kv of ['dense', 'q4', 'policy'] as const) {
    const here = await inNode({ kv, maxTokens: TOKENS });
    const there = await inFirefox({ kv, max_tokens: TOKENS });
    expect(there.text, kv).toBe(here.text);
    if (kv !== 'policy') expect(there.pages, kv).toEqual(here.end.report.kv.pages);
    else expect(there.pages?.f16).toBeLessThan(Math.ceil(TOKENS / 32));
  }
});

it('receives a token without waiting for Firefox’s GPU polling interval', async () => {
  const idle = await page.evaluate(async () => {
    const device = await (await navigator.gpu.requestAdapter())?.requestDevice();
    await device?.queue.onSubmittedWorkDone();
    const began = performance.now();
    await device?.queue.onSubmittedWorkDone();
    device?.destroy();
    return performance.now() - began;
  });
  expect((await inFirefox()).ms).toBeLessThan(idle / 2);
});

it('answers with an adapter, with a grammar, and from a saved KV cache', async () => {
  const folder = join(server.adapters, 'small');
  const [config, weights] = await Promise.all(
    [CONFIG_FILE, WEIGHTS_FILE].map((name) => FileSource.open(join(folder, name))),
  );
  if (config && weights) await node.loadAdapter('small', { config, weights });
  await page.evaluate((url) => globalThis.engine.adapters.load('small', url), `${server.url()}adapters/small/`);
  const plain = await inFirefox();
  const adapted = await inFirefox({ adapter: 'small' });
  expect(adapted.text).toBe((await inNode({ adapters: [{ name: 'small', scale: 1 }] })).text);
  expect(adapted.text).not.toBe(plain.text);

  const formed = await inFirefox({ response_format: { type: 'grammar', grammar: GRAMMAR } });
  expect(formed.text).toMatch(/^the (red|green|blue) sea$/);

  await inFirefox();
  const saved = await page.evaluate(async () => {
    const saved = await globalThis.engine.saveCache('winds');
    await globalThis.engine.dispose();
    return saved;
  });
  await load('small.gguf');
  expect(await page.evaluate(() => globalThis.engine.loadCache('winds'))).toEqual(saved);
  const again = await inFirefox();
  expect(again.text).toBe(plain.text);
  expect(again.usage?.prompt_tokens_details.cached_tokens).toBe((again.usage?.prompt_tokens ?? NaN) - 1);
});

it('embeds as Node does', async () => {
  const vectors: Float32Array[] = [];
  for await (const { vector } of node.embed([PROMPT], {})) vectors.push(vector);
  const there = await page.evaluate(async (input) => {
    const { data } = await globalThis.engine.embeddings.create({ input });
    await globalThis.engine.dispose();
    return data[0]?.embedding as number[];
  }, PROMPT);
  expect(there).toHaveLength(vectors[0]?.length ?? 0);
  there.forEach((value, i) => expect(value).toBeCloseTo(vectors[0]?.[i] ?? NaN, 5));
});

it('answers with the default model as Node does', async () => {
  const engine = await openInNode(REAL_MODEL);
  const here = await answer(engine.complete('The sea is', { sampling: GREEDY, stop: [], maxTokens: 12 }));
  engine.dispose();
  await load('SmolLM2-135M-Instruct.Q4_1.gguf');
  const { text } = await inFirefox({ prompt: 'The sea is' });
  await page.evaluate(() => globalThis.engine.dispose());
  expect(text).toBe(here.text);
});
