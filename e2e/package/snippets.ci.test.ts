import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type TypeScript from 'typescript';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { HubServer } from '../../tests/support/hub-server.ts';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { writeAdapter } from '../support/demo-server.ts';
import { installTools } from '../support/installed-apps.ts';
import { openForTests } from '../support/open-for-tests.ts';
import { servePackage } from '../support/package-page.ts';
import { installedFolder } from '../support/packed-package.ts';
import { DOCUMENTS, type Snippet, snippetsOf } from '../support/snippets.ts';

const ROOT = join(import.meta.dirname, '../..');
/** The oldest compiler that reads the declarations, from the apps' packages, and the repository's, the latest. */
const COMPILERS = ['e2e/apps/node_modules/typescript-5.6', 'node_modules/typescript'];
const SNIPPETS = DOCUMENTS.flatMap(snippetsOf);

/** Where a snippet runs, or why it is only compiled. */
const RUN: Readonly<Record<string, 'Node' | 'Chromium' | { compiled: string }>> = {
  'README.md 1': 'Chromium',
  'README.md 2': { compiled: 'node.ci.test.ts runs it, as it stands' },
  'README.md 3': 'Node',
  'docs/guide/adapters.md 1': 'Node',
  'docs/guide/adapters.md 2': { compiled: 'needs an activated adapter on a hub; tests/engine/alora.test.ts runs one' },
  'docs/guide/adapters.md 3': 'Node',
  'docs/guide/ai-sdk.md 1': { compiled: 'its model stands for any; tests/ai-sdk has models of all kinds' },
  'docs/guide/cache.md 1': 'Node',
  'docs/guide/cache.md 2': 'Node',
  'docs/guide/decisions.md 1': 'Node',
  'docs/guide/decisions.md 2': 'Node',
  'docs/guide/decisions.md 3': 'Node',
  'docs/guide/device.md 1': { compiled: 'makes a model of 1.1 GB; tests/measure/device.ci.test.ts measures' },
  'docs/guide/forms.md 1': 'Node',
  'docs/guide/forms.md 2': { compiled: 'its models stand for any; engine-options.ci.test.ts has a draft model' },
  'docs/guide/functions.md 1': { compiled: 'needs a library on a hub; tests/engine/functions.ci.test.ts calls one' },
  'docs/guide/functions.md 2': {
    compiled: 'needs the adapter that the page trains; tests/engine/functions.ci.test.ts has one',
  },
  'docs/guide/models.md 1': { compiled: 'its models stand for any; e2e/storage has all of these ways' },
  'docs/guide/package.md 1': { compiled: 'asks the hub for each model of the list; reload.ci.test.ts asks for some' },
  'docs/guide/package.md 2': 'Chromium',
  'docs/guide/react.md 1': { compiled: 'a component to be finished; react.ci.test.ts has one' },
  'docs/guide/retrieval.md 1': { compiled: 'retrieval.ci.test.ts runs it, as it stands' },
  'docs/guide/server.md 1': 'Node',
  'docs/guide/server.md 2': { compiled: 'is for a service worker; clients.ci.test.ts has one' },
  'docs/guide/server.md 3': { compiled: 'is for the page of a service worker; clients.ci.test.ts has one' },
  'docs/guide/web-llm.md 1': 'Chromium',
};

/** Declarations that snippets assume. */
const GIVEN = `
import type { Engine, JsonSchema } from 'chunkwise';
import type { InitProgressCallback } from 'chunkwise/web-llm';

declare global {
  const engine: Engine;
  const messages: { role: 'user'; content: string }[];
  const conversation: string;
  const schema: JsonSchema;
  const signal: AbortSignal;
  const files: File[];
  const initProgressCallback: InitProgressCallback;
  function draw(...shown: unknown[]): void;
}
`;

/** All public names, imported by name or as a namespace. */
const DECLARATIONS = `
import * as main from 'chunkwise';
import * as aiSdk from 'chunkwise/ai-sdk';
import * as react from 'chunkwise/react';
import * as worker from 'chunkwise/service-worker';
import * as webLlm from 'chunkwise/web-llm';
export { aiSdk, main, react, webLlm, worker };

declare const engine: main.Engine;
declare const stream: boolean;
const messages = [{ role: 'user' as const, content: 'Hi' }];
// Stream or whole, by a variable.
const either = await engine.chat.completions.create({ model: 'any', messages, stream });
if (Symbol.asyncIterator in either) for await (const { choices } of either) console.log(choices);
else console.log(either.usage.total_tokens);
const text = await engine.completions.create({ model: 'any', prompt: 'Hi', stream });
console.log('choices' in text ? text.choices : text);
// Whole by default.
const whole: main.ChatCompletion = await engine.chat.completions.create({ messages });
await engine.embeddings.create({ model: 'any', input: whole.choices[0]?.message.content ?? '' });
await engine.rerank({ model: 'any', query: 'a', documents: ['b'] });
await engine.reload('owner/other', { contextLength: 512 });
export const failure = (state: react.EngineState): string | undefined => state.error?.message;
export const codeOf = (chat: react.ChatState): main.ErrorCode | undefined =>
  chat.error instanceof react.ChunkwiseError ? chat.error.code : undefined;
const found: main.Availability = await main.availability({ model: main.RECOMMENDED_MODELS[0]?.id ?? '' });
console.log(found.status === 'unavailable' ? found.code : found.reason);
// @ts-expect-error there is no such option
void main.createEngine({ model: 'owner/repo', contextLenght: 512 });
await engine[Symbol.asyncDispose]();
`;

const OPTIONS = {
  target: 'ES2022',
  // web-llm's own types are for bundlers; `npm run check:package` resolves the declarations as Node does.
  module: 'ESNext',
  moduleResolution: 'bundler',
  lib: ['ES2022', 'DOM', 'DOM.Iterable'],
  types: ['node'],
  jsx: 'react-jsx',
  strict: true,
  exactOptionalPropertyTypes: true,
  allowJs: true,
  checkJs: true,
  declaration: true,
  rootDir: '.',
  outDir: '../built',
};

let folder: string;
const opened = openForTests(servePackage);

const fileOf = ({ name, language }: Snippet): string =>
  `${name.replaceAll(/[/. ]/g, '-')}.${language === 'js' ? 'mjs' : language === 'tsx' ? 'tsx' : 'ts'}`;

/** A folder with the packed package, all packages of the repository, and the program. */
beforeAll(async () => {
  await installTools();
  folder = await installedFolder(packages());
  mkdirSync(join(folder, 'program'));
  const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
  write('package.json', JSON.stringify({ type: 'module' }));
  write('program/index.ts', DECLARATIONS);
  write('program/given.d.ts', GIVEN);
  for (const snippet of SNIPPETS) write(`program/${fileOf(snippet)}`, `${snippet.code}\nexport {};\n`);
  write('program/tsconfig.json', JSON.stringify({ compilerOptions: OPTIONS, include: ['.'] }));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The repository's package, which is not among them. */
function packages(): string[] {
  const names = readdirSync(join(ROOT, 'node_modules')).filter((name) => !name.startsWith('.'));
  return names.flatMap((name) =>
    name.startsWith('@') ? readdirSync(join(ROOT, 'node_modules', name)).map((each) => `${name}/${each}`) : [name],
  );
}

it('has a decision for every snippet', () => {
  expect(SNIPPETS.map(({ name }) => name).sort()).toEqual(Object.keys(RUN).sort());
});

/** Asks for the errors of each file, because other packages' types take most of the time and have errors of their own. */
it.each(COMPILERS)('%s accepts the declarations and every snippet', (compiler) => {
  const ts = createRequire(import.meta.url)(join(ROOT, compiler)) as typeof TypeScript;
  const { config } = ts.readConfigFile(join(folder, 'program/tsconfig.json'), (path) => ts.sys.readFile(path)) as {
    config: unknown;
  };
  const { fileNames, options, errors } = ts.parseJsonConfigFileContent(config, ts.sys, join(folder, 'program'));
  const program = ts.createProgram(fileNames, options);
  const checked = program.getSourceFiles().filter(({ fileName }) => !/node_modules\/(?!chunkwise\/)/.test(fileName));
  const names = checked.map(({ fileName }) => fileName.replace(/.*\//, ''));
  const entries = ['index', 'ai-sdk', 'react', 'service-worker', 'web-llm'].map((name) => `${name}.d.ts`);
  expect(names).toEqual(expect.arrayContaining([...entries, 'index.ts', ...SNIPPETS.map(fileOf)]));
  const found = [...errors, ...program.getOptionsDiagnostics()];
  for (const file of checked) {
    found.push(...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file));
    if (file.isDeclarationFile) continue;
    found.push(...program.getDeclarationDiagnostics(file));
    program.emit(file);
  }
  const said = found.map(({ file, messageText }) => [
    file?.fileName,
    ts.flattenDiagnosticMessageText(messageText, ' '),
  ]);
  expect(said).toEqual([]);
});

/** Snippets that run there, as emitted by the latest compiler. */
const runIn = (where: 'Node' | 'Chromium'): Snippet[] => SNIPPETS.filter(({ name }) => RUN[name] === where);
const builtFile = (snippet: Snippet): string => join(folder, 'built', fileOf(snippet).replace(/\.tsx?$/, '.js'));

it('those for an engine run in Node', async () => {
  const model = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, contextLength: 512 });
  writeFileSync(join(folder, 'tiny.gguf'), model);
  mkdirSync(join(folder, 'adapters'));
  await writeAdapter(join(folder, 'adapters/pirate'), model);
  const hub = await HubServer.start(
    'owner/brief-lora',
    Object.fromEntries(adapterFiles(join(folder, 'adapters/pirate'))),
  );
  const script = `
    import { createEngine } from 'chunkwise';
    const engine = await createEngine({ model: 'tiny.gguf', hub: { endpoint: ${JSON.stringify(hub.endpoint)} } });
    Object.assign(globalThis, {
      engine,
      messages: [{ role: 'user', content: 'Hi' }],
      // Closed: a random model may write another property until the context is full.
      schema: { type: 'object', properties: { name: { enum: ['Ada'] } }, required: ['name'], additionalProperties: false },
      draw: () => undefined,
    });
    const adapters = { pirate: 'adapters/pirate/', brief: 'owner/brief-lora' };
    for (const [name, file, loaded] of ${JSON.stringify(runIn('Node').map(toRun))}) {
      for (const { name } of await engine.adapters.list()) await engine.adapters.unload(name);
      for (const each of loaded) await engine.adapters.load(each, adapters[each]);
      // The latest text, which a snippet may save, is short: a random model may write until the context evicts tokens.
      await engine.completions.create({ prompt: 'Hi', max_tokens: 4 });
      await import(file).catch((cause) => {
        throw new Error(name, { cause });
      });
      console.log(name);
    }
    await engine.dispose();`;
  writeFileSync(join(folder, 'run.mjs'), script);
  const env = { ...process.env, CHUNKWISE_CACHE: join(folder, 'cache') };
  const { stdout } = await promisify(execFile)('node', ['run.mjs'], { cwd: folder, env });
  await hub.close();
  const said = stdout.split('\n');
  for (const { name } of runIn('Node')) expect(said).toContain(name);
});

/** A snippet with the adapters that it assumes to be loaded. */
const toRun = (snippet: Snippet): [name: string, file: string, loaded: string[]] => [
  snippet.name,
  builtFile(snippet),
  ['pirate', 'brief'].filter((name) => !snippet.code.includes(`load('${name}'`)),
];

const adapterFiles = (path: string): [string, Uint8Array][] =>
  readdirSync(path)
    .filter((name) => name.startsWith('adapter_'))
    .map((name) => [name, Uint8Array.from(readFileSync(join(path, name)))]);

it.each(runIn('Chromium'))('$name runs in a page of Chromium', async (snippet) => {
  const model = tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, contextLength: 256, neverEnds: true });
  const hub = await HubServer.start('HuggingFaceTB/SmolLM2-135M-Instruct', { 'tiny-Q4_0.gguf': model });
  const context = await opened.browser.newContext();
  await context.route('https://huggingface.co/**', async (route) => {
    const { pathname, search } = new URL(route.request().url());
    return route.fulfill({ response: await route.fetch({ url: `${hub.endpoint}${pathname}${search}` }) });
  });
  const page = await context.newPage();
  const failure = new Promise<string>((resolve) => page.on('pageerror', ({ message }) => resolve(message)));
  await page.goto(`${opened.server.url()}index.js`); // any document of this origin will do
  await page.setContent('<body></body>');
  const imports = { chunkwise: '/index.js', 'chunkwise/web-llm': '/web-llm.js' };
  await page.addScriptTag({ type: 'importmap', content: JSON.stringify({ imports }) });
  await page.evaluate(() => void Object.assign(globalThis, { initProgressCallback: () => undefined }));
  const code = readFileSync(builtFile(snippet), 'utf8');
  await page.addScriptTag({ type: 'module', content: `${code}\nglobalThis.isOver = true;` });
  const over = page.waitForFunction(() => 'isOver' in globalThis).then(() => 'over');
  expect(await Promise.race([over, failure])).toBe('over');
  if (snippet.document === 'README.md') expect(await page.locator('body').innerText()).not.toBe('');
  await context.close();
  await hub.close();
});
