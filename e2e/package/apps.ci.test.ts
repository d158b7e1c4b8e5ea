import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Browser } from 'playwright';
import sirv from 'sirv';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { tinyModel } from '../../tests/support/models/tiny-model.ts';
import { APPS, FOR_APPS, installPackage, runInApps } from '../support/installed-apps.ts';
import { launchBrowser } from '../support/browser.ts';

let models: string;
let browser: Browser;
let apps: Server;
let elsewhere: Server;

/** The packed package, installed into apps of other build tools without configuration. */
beforeAll(async () => {
  models = mkdtempSync(join(tmpdir(), 'chunkwise-apps-'));
  writeFileSync(
    join(models, 'tiny.gguf'),
    tinyModel({ architecture: 'llama', type: 'Q4_0', seed: 1, neverEnds: true }),
  );
  browser = await launchBrowser('lavapipe');
  apps = await serve(APPS);
  elsewhere = await serve(models);
  await installPackage();
});
afterAll(async () => {
  await browser.close();
  for (const server of [apps, elsewhere]) server.close();
  rmSync(models, { recursive: true });
});

it('Vite, built and as a server for development', async () => {
  await runInApps('npx', 'vite', 'build', '--base', './', '--outDir', 'dist/vite');
  await expectAnswer(`${urlOf(apps)}/dist/vite/`);
  await expectAnswer(await started('npx', 'vite', '--host', 'localhost', '--strictPort', '--port'));
});

it('webpack', async () => {
  await runInApps(
    'npx',
    'webpack',
    'build',
    '--mode',
    'production',
    '--no-optimization-minimize',
    '--entry',
    './main.js',
    '--output-path',
    'dist/webpack',
  );
  await expectAnswer(writePage('webpack', './main.js'));
});

it('esbuild, in one file and split', async () => {
  for (const options of [['--minify'], ['--splitting']]) {
    await runInApps('npx', 'esbuild', 'main.js', '--bundle', '--format=esm', '--outdir=dist/esbuild', ...options);
    await expectAnswer(writePage('esbuild', './main.js'));
  }
});

it('Next.js', async () => {
  await runInApps('npx', 'next', 'build', 'next');
  await expectAnswer(await started('npx', 'next', 'start', 'next', '--port'));
});

it('no bundler: a module script, with the package on its own origin and on another', async () => {
  await expectAnswer(writePage('plain', '/main.js', '/node_modules/chunkwise/dist/index.js'));
  const cdn = await serve(join(APPS, 'node_modules'));
  onTestFinished(() => void cdn.close());
  await expectAnswer(writePage('plain', '/main.js', `${urlOf(cdn)}/chunkwise/dist/index.js`));
});

it('Node: the command line', async () => {
  const { stdout } = await runInApps(
    'npx',
    'chunkwise',
    'generate',
    '--model',
    join(models, 'tiny.gguf'),
    '--prompt',
    'One',
    '--max-tokens',
    '10',
    '--json',
  );
  expect((JSON.parse(stdout) as { tokens: number[] }).tokens).toHaveLength(10);
});

/** Opens an app and waits for the result of its request in the title. */
async function expectAnswer(url: string): Promise<void> {
  const page = await browser.newPage();
  onTestFinished(() => page.close());
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(error.message));
  await page.goto(`${url}?model=${encodeURIComponent(`${urlOf(elsewhere)}/tiny.gguf`)}`);
  await page
    .waitForFunction(() => /tokens|failed/.test(document.title), undefined, { timeout: 100_000 })
    .catch((error: unknown) => {
      throw new Error(`no answer; the page said: ${said.join('\n')}`, { cause: error });
    });
  expect(await page.title()).toBe('10 tokens');
}

/** Writes an app's page, whose script is beside it or at `script`, and returns its URL. */
function writePage(name: string, script: string, chunkwise?: string): string {
  const imports = `<script type="importmap">${JSON.stringify({ imports: { chunkwise } })}</script>`;
  mkdirSync(join(APPS, 'dist', name), { recursive: true });
  writeFileSync(
    join(APPS, 'dist', name, 'index.html'),
    `<!doctype html>${chunkwise === undefined ? '' : imports}<script type="module" src="${script}"></script>`,
  );
  return `${urlOf(apps)}/dist/${name}/`;
}

/** Starts an app's server, whose last argument is the port, and returns its URL once it responds. */
async function started(program: string, ...args: string[]): Promise<string> {
  const port = await freePort();
  const child = spawn(program, [...args, String(port)], { ...FOR_APPS, stdio: 'ignore', detached: true });
  // npx starts the server as a separate process; both are in the child's group.
  onTestFinished(() => void process.kill(-(child.pid as number)));
  const url = `http://localhost:${port}/`;
  while (
    !(await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    ))
  ) {
    if (child.exitCode !== null) throw new Error(`${args.join(' ')} ended with ${child.exitCode}`);
    await sleep(200);
  }
  return url;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** Serves a folder to every origin. */
async function serve(folder: string): Promise<Server> {
  const shared = { 'access-control-allow-origin': '*', 'access-control-expose-headers': '*' };
  const setHeaders = (response: ServerResponse): void => void response.setHeaders(new Map(Object.entries(shared)));
  const server = createServer(sirv(folder, { dev: true, setHeaders })).listen(0);
  await once(server, 'listening');
  return server;
}

const urlOf = (server: Server): string => `http://localhost:${(server.address() as AddressInfo).port}`;
