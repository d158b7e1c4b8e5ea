import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HubServer } from '../../tests/support/hub-server.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { writeAdapter } from '../support/demo-server.ts';
import { DEPENDENCIES, installedFolder } from '../support/packed-package.ts';
import { snippetsOf } from '../support/snippets.ts';

const MODEL = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, contextLength: 256, neverEnds: true });
const HUB_MODEL = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 2, contextLength: 256, neverEnds: true });
const FILE = 'tiny-Q4_0.gguf';

let folder: string;
let hub: HubServer;

/** A folder with the packed package and `webgpu`. */
beforeAll(async () => {
  folder = await installedFolder([...DEPENDENCIES, 'webgpu']);
  hub = await HubServer.start('owner/tiny', { [FILE]: HUB_MODEL });
  mkdirSync(join(folder, 'models'));
  mkdirSync(join(folder, 'adapters'));
  writeFileSync(join(folder, 'models/SmolLM2-135M-Instruct.Q4_1.gguf'), MODEL);
  await writeAdapter(join(folder, 'adapters/pirate'), MODEL);
});
afterAll(async () => {
  await hub.close();
  rmSync(folder, { recursive: true });
});

/** Runs a script in the folder in a process that must end by itself; returns its output. */
async function run(code: string, ...args: string[]): Promise<string> {
  writeFileSync(join(folder, 'script.mjs'), code);
  const env = { ...process.env, CHUNKWISE_CACHE: join(folder, 'cache') };
  const { stdout } = await promisify(execFile)('node', ['script.mjs', ...args], { cwd: folder, env, timeout: 200_000 });
  return stdout;
}

/** Runs code that prints JSON and may call `codeOf`. */
async function runJson<T>(code: string): Promise<T> {
  const start = `
    import { availability, ChunkwiseError, createEngine } from 'chunkwise';
    const codeOf = (work) => work.then(() => 'fine', (error) => \`\${error.name} \${error.code}: \${error.message}\`);
    const hub = { endpoint: process.argv[2] };
    const options = { prompt: 'One two', max_tokens: 6, temperature: 0 };
    const say = async (engine, more) => (await engine.completions.create({ ...options, ...more })).choices[0].text;
    `;
  return JSON.parse(await run(start + code, hub.endpoint)) as T;
}

it('runs the snippet of the README', async () => {
  const snippet = snippetsOf('README.md').find(({ language }) => language === 'js');
  expect(await run(snippet?.code ?? '')).not.toBe('');
});

it('loads files from disk; adapters, grammars, saved caches, aborts and a reload work', async () => {
  const result = await runJson<Record<string, unknown>>(`
    const model = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';
    const before = await availability({ model });
    const engine = await createEngine({ model, adapters: { pirate: 'adapters/pirate/' } });
    const plain = await say(engine);
    const pirate = await say(engine, { adapter: 'pirate' });
    await engine.adapters.load('gguf', { gguf: 'adapters/pirate/adapter.gguf' });
    const form = await engine.chat.completions.create({
      messages: [{ role: 'user', content: 'Hi' }],
      response_format: { type: 'json_schema', json_schema: { name: 'b', schema: { type: 'boolean' } } },
    });
    const abort = new AbortController();
    const reason = new Error('enough');
    const aborted = engine.completions
      .create({ prompt: 'Once', max_tokens: 200 }, { signal: abort.signal })
      .catch((error) => [error.name, error.code, error.cause === reason, error instanceof ChunkwiseError]);
    engine.on('token', () => abort.abort(reason));
    await say(engine);
    const saved = await engine.saveCache('text');
    const stored = await engine.cache.list();
    const unread = await engine.completions.create({ prompt: 'One', max_tokens: 200, stream: true });
    await unread[Symbol.asyncIterator]().next(); // an unread stream must not keep the process alive
    const names = (await engine.adapters.list()).map(({ name }) => name);
    await engine.reload('./models', { contextLength: 64 });
    const again = await say(engine);
    const { contextLength } = engine;
    await engine[Symbol.asyncDispose]();
    console.log(JSON.stringify({
      before, plain, pirate, names, form: form.choices[0].message.content, aborted: await aborted, saved, stored,
      again, contextLength, after: await codeOf(engine.memory()),
    }));`);
  expect(result['before']).toMatchObject({ status: 'available' });
  expect(result['pirate']).not.toBe(result['plain']);
  expect(result['names']).toEqual(['pirate', 'gguf']);
  expect(result['form']).toMatch(/^(true|false)$/);
  expect(result['aborted']).toEqual(['AbortError', 'aborted', true, true]);
  expect(result['stored']).toEqual([
    { kind: 'text', name: 'text', bytes: (result['saved'] as { bytes: number }).bytes },
  ]);
  expect(result['again']).toBe(result['plain']);
  expect(result['contextLength']).toBe(64);
  expect(result['after']).toMatch(/^ChunkwiseError disposed/);
});

it('stores a hub model in the cache folder, where the next process finds it offline', async () => {
  const load = `
    const model = 'owner/tiny';
    const { status } = await availability({ model, hub });
    const phases = new Set();
    const engine = await createEngine({ model, hub, onProgress: ({ phase }) => phases.add(phase) });
    const text = await say(engine);
    const [entry] = await engine.cache.list();
    const name = engine.model;
    await engine.dispose();
    console.log(JSON.stringify({ status, phases: [...phases], text, entry, name }));`;
  const first = await runJson<{ status: string; phases: string[]; text: string; entry: unknown }>(load);
  expect(first).toMatchObject({
    status: 'downloadable',
    entry: { kind: 'model', name: 'owner/tiny', bytes: HUB_MODEL.length },
  });
  expect(first.phases).toContain('download');
  expect(readdirSync(join(folder, 'cache'))).toContain('chunkwise-models');
  hub.behaviour.token = 'needed';
  const second = await runJson<typeof first>(load);
  expect(second).toMatchObject({ status: 'available', text: first.text });
  expect(second.phases).not.toContain('download');
  expect(hub.sentTwice(FILE)).toBe(0);
  hub.forget();
  const url = `console.log(JSON.stringify(await createEngine({ model: \`\${hub.endpoint}/owner/tiny/resolve/main/${FILE}\` })
    .then(async (engine) => [await say(engine), await engine.dispose()])));`;
  expect(await runJson(url)).toEqual([first.text, null]);
});

it('an aborted load reports no more progress and lets its process end', async () => {
  const [error, seen] = await runJson<[string, string[]]>(`
    const abort = new AbortController();
    const seen = [];
    const onProgress = ({ phase }) => {
      seen.push(phase);
      abort.abort();
    };
    const model = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';
    const error = await codeOf(createEngine({ model, onProgress, signal: abort.signal }));
    process.on('exit', () => console.log(JSON.stringify([error, seen])));`);
  expect(error).toBe('AbortError aborted: the caller aborted the loading');
  expect(seen).toHaveLength(1);
});

it('without webgpu a typed error names the package, and functions without GPU work', async () => {
  rmSync(join(folder, 'node_modules/webgpu'));
  const [created, asked, url] = await runJson<[string, object, string]>(`
    import { modelUrl } from 'chunkwise';
    const model = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';
    console.log(JSON.stringify([await codeOf(createEngine({ model })), await availability({ model }), modelUrl('owner/repo')]));`);
  expect(created).toBe(
    "ChunkwiseError no_webgpu: WebGPU comes to Node with the package 'webgpu', which is not installed: npm install webgpu",
  );
  expect(asked).toMatchObject({ status: 'unavailable', code: 'no_webgpu' });
  expect(url).toBe('https://huggingface.co/owner/repo');
});
