import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright';
import { beforeAll, expect, it } from 'vitest';
import type * as Chunkwise from '../../src/api/index.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { launchBrowser } from '../support/browser.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { importPackage, servePackage } from '../support/package-page.ts';

const opened = openForTests(servePackage);
const blind = openForTests(servePackage, () => launchBrowser('no WebGPU'));

beforeAll(() => {
  const other = tinyModel({ architecture: 'qwen2', type: 'Q8_0', seed: 9, neverEnds: true });
  writeFileSync(join(opened.server.folder, 'other.gguf'), other);
});

async function newPage({ browser, server } = opened): Promise<Page> {
  const page = await (await browser.newContext()).newPage();
  await importPackage(page, server);
  return page;
}

it('reports the availability of a model without a download, and that it is stored', async () => {
  const page = await newPage();
  const asked = await page.evaluate(async () => {
    const { availability, createEngine } = globalThis.chunkwise;
    const options = { model: 'models/tiny.gguf', contextLength: 128 };
    const before = await availability(options);
    const names = [await availability(), await availability({ ...options, memoryLimitBytes: 1000 })];
    const missing = await availability({ model: 'models/missing.gguf' });
    const usage = (await navigator.storage.estimate()).usage;
    const engine = await createEngine(options);
    const after = await availability(options);
    await engine.dispose();
    return { before, names, missing, usage, after };
  });
  const { size } = statSync(join(opened.server.folder, 'tiny.gguf'));
  expect(asked.before).toMatchObject({ status: 'downloadable', bytes: size, missingBytes: size });
  expect(asked.names).toMatchObject([{ status: 'available' }, { status: 'unavailable', code: 'over_limit' }]);
  expect(asked.missing).toMatchObject({ status: 'unavailable', code: 'network' });
  expect(asked.usage).toBeLessThan(size / 10);
  expect(asked.after).toMatchObject({ status: 'available' });
  const without = await newPage(blind);
  const found = await without.evaluate(() => globalThis.chunkwise.availability({ model: 'models/tiny.gguf' }));
  expect(found).toMatchObject({ status: 'unavailable', code: 'no_webgpu' });
});

it('replaces the model with its options and listeners, and works after a failed reload', async () => {
  const page = await newPage();
  const result = await page.evaluate(async () => {
    const { createEngine } = globalThis.chunkwise;
    const codeOf = (work: Promise<unknown>) =>
      work.then(
        () => 'fine',
        (error: Chunkwise.ChunkwiseError) => `${error.name} ${error.code} ${error.detail.field ?? ''}`.trim(),
      );
    const engine = await createEngine({
      model: 'models/tiny.gguf',
      contextLength: 256,
      adapters: { poet: 'adapters/shakespeare/' },
    });
    globalThis.engine = engine;
    const say = async (): Promise<string | undefined> =>
      (await engine.completions.create({ prompt: 'One two', max_tokens: 6, temperature: 0 })).choices[0]?.text;
    const state = async () => ({
      model: engine.model.slice(engine.model.lastIndexOf('/') + 1),
      contextLength: engine.contextLength,
      adapters: (await engine.adapters.list()).map(({ name }) => name),
      served: ((await (await engine.fetch('/v1/models')).json()) as { data: { id: string }[] }).data.map(
        ({ id }) => id,
      ),
      text: await say(),
    });
    let told = 0;
    const phases = new Set<string>();
    engine.on('token', () => told++);
    const first = await state();
    const unknown = await codeOf(engine.reload('models/other.gguf', { contextLenght: 1 } as never));
    const still = await say();
    const running = codeOf(engine.completions.create({ prompt: 'Once', max_tokens: 200 }));
    await engine.reload('models/other.gguf', { onProgress: ({ phase }) => phases.add(phase) });
    const second = await state();
    const failed = await codeOf(engine.reload('models/missing.gguf'));
    const none = await codeOf(say());
    const [ended, last] = await Promise.all([
      codeOf(engine.reload('models/other.gguf')),
      codeOf(engine.reload('models/tiny.gguf', { contextLength: 128 })),
    ]);
    const third = await state();
    const given = told;
    const loading = codeOf(engine.reload('models/other.gguf'));
    await engine[Symbol.asyncDispose]();
    return {
      ...{
        first,
        unknown,
        still,
        running: await running,
        second,
        phases: [...phases],
        failed,
        none,
        ended,
        last,
        third,
      },
      ...{ given, loading: await loading, after: await codeOf(engine.reload('models/tiny.gguf')) },
      gone: await codeOf(engine.memory()),
    };
  });
  expect(result.first).toMatchObject({ model: 'tiny.gguf', contextLength: 256, adapters: ['poet'] });
  expect(result.first.served).toEqual(['tiny', 'poet']);
  expect(result.unknown).toBe('ChunkwiseError bad_request contextLenght');
  expect(result.still).toBe(result.first.text);
  expect(result.running).toBe('ChunkwiseError disposed');
  expect(result.second).toMatchObject({ model: 'other.gguf', contextLength: 256, adapters: [], served: ['other'] });
  expect(result.second.text).not.toBe(result.first.text);
  expect(result.phases).toContain('compile');
  expect([result.failed, result.none]).toEqual(['ChunkwiseError network', 'ChunkwiseError disposed']);
  expect([result.ended, result.last]).toEqual(['AbortError aborted', 'fine']);
  expect(result.third).toMatchObject({ model: 'tiny.gguf', contextLength: 128, text: result.first.text });
  expect(result.given).toBeGreaterThanOrEqual(4 * 6); // an interrupted answer may have had its first tokens
  expect([result.loading, result.after]).toEqual(['AbortError aborted', 'ChunkwiseError disposed']);
  expect(result.gone).toBe('ChunkwiseError disposed');
  await expect.poll(() => page.workers().length).toBe(0);
});
