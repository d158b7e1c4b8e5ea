/**
 * Opens the built chat page in a browser of this machine, asks one question, measures the device, and writes the results
 * as JSON. After `npm run build:demo`:
 *
 *     node --import tsx tools/browser-check.ts --browser chrome|msedge|safari|chromium --out FILE
 *
 * `--software`: allows software adapters. `--require-webgpu`: a browser without WebGPU is an error instead of a note.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { preview } from 'vite';
import type { DeviceReport } from '../src/api/index.ts';
import { type BrowserName, BROWSERS, BrowserTab } from './browser-tab.ts';
import { ensureModel } from './setup/fetch-model.ts';

const PROMPT = 'Why is the sky blue?';
/** Most tokens of the answer; software adapters take a while for each. */
const MAX_TOKENS = 64;
/** Longest wait for the model, the answer and the results; a software adapter compiles for minutes. */
const PATIENCE_MS = 15 * 60_000;

interface Adapter {
  vendor: string;
  architecture: string;
  device: string;
  description: string;
  isFallbackAdapter: boolean;
  subgroupMinSize: number;
  subgroupMaxSize: number;
  features: string[];
  limits: Record<string, number>;
}

interface Answer {
  prompt: string;
  text: string;
  /** The page's line of measurements. */
  note: string;
  /** Read from the page; null if it shows none. */
  ttftMs: number | null;
  msPerToken: number | null;
  tokensPerSecond: number | null;
}

interface BrowserCheck {
  format: 'chunkwise-browser-check';
  version: 1;
  /** ISO 8601. */
  date: string;
  system: string;
  browser: BrowserName;
  browserVersion?: string;
  userAgent?: string;
  /** Whether the page has a device. */
  webgpu?: boolean;
  /** Null if the browser gives none. */
  adapter?: Adapter | null;
  /** Result of the kernels' self-check, which the page runs before its first answer. */
  selfCheck?: 'right' | 'wrong';
  loadSeconds?: number;
  answer?: Answer;
  device?: DeviceReport;
  /** Why it stopped: the page's own words, or an error. */
  failure?: string;
}

const { browser, out, software, requireWebGpu } = readArguments();
const check: BrowserCheck = {
  format: 'chunkwise-browser-check',
  version: 1,
  date: new Date().toISOString(),
  system: `${process.platform} ${release()}, ${cpus()[0]?.model ?? process.arch}`,
  browser,
};
try {
  await run();
} catch (error) {
  check.failure = error instanceof Error ? error.message : String(error);
}
writeFileSync(out, `${JSON.stringify(check, null, 2)}\n`);
tell();

async function run(): Promise<void> {
  const root = new URL('../', import.meta.url);
  if (!existsSync(new URL('dist-demo/index.html', root))) throw new Error('no dist-demo: npm run build:demo');
  await ensureModel();
  const configFile = fileURLToPath(new URL('demo/vite.config.ts', root));
  const server = await preview({ configFile, logLevel: 'warn', preview: { port: 0 } });
  try {
    const tab = await BrowserTab.open(browser, software);
    try {
      await visit(tab, server.resolvedUrls?.local[0] ?? '');
    } finally {
      await tab.close();
    }
  } finally {
    await server.close();
  }
}

async function visit(tab: BrowserTab, url: string): Promise<void> {
  const begun = performance.now();
  check.browserVersion = tab.browserVersion;
  await tab.goto(url);
  check.userAgent = await tab.evaluate(() => navigator.userAgent);
  check.adapter = await tab.evaluate(adapterInPage);
  const failure = (await until(tab, loadEndInPage, 'the model')).failure;
  check.webgpu = !failure?.includes('no_webgpu');
  if (failure !== undefined) {
    if (failure.includes('wrong_results')) check.selfCheck = 'wrong';
    throw new Error(failure);
  }
  check.selfCheck = 'right'; // otherwise the page opens no model
  check.loadSeconds = Math.round((performance.now() - begun) / 1000);
  console.log(`the model is there after ${check.loadSeconds} s`);

  await tab.evaluate(askInPage, PROMPT, MAX_TOKENS);
  const { text, note, ttft, speed } = await until(tab, answerInPage, 'the answer');
  const tokensPerSecond = numberIn(speed);
  const msPerToken = tokensPerSecond === null ? null : 1000 / tokensPerSecond;
  check.answer = { prompt: PROMPT, text, note, ttftMs: milliseconds(ttft), msPerToken, tokensPerSecond };
  console.log(`${note}: ${text}`);

  await tab.evaluate(measureInPage);
  const measured = await until(tab, reportInPage, 'the figures');
  if (measured.failure !== undefined) throw new Error(measured.failure);
  check.device = JSON.parse(measured.report ?? '') as DeviceReport;
}

/** Polls the page until it returns a value. */
async function until<T>(tab: BrowserTab, ask: () => T | null | Promise<T | null>, what: string): Promise<T> {
  for (const end = Date.now() + PATIENCE_MS; Date.now() < end;) {
    const said = await tab.evaluate(ask);
    if (said !== null) return said;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error(`waited ${PATIENCE_MS / 60_000} minutes for ${what}`);
}

/** The adapter that the engine asks for. */
async function adapterInPage(): Promise<Adapter | null> {
  // TypeScript's types lack it.
  const gpu = (navigator as { gpu?: GPU }).gpu;
  const adapter = await gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) return null;
  const { info, features } = adapter;
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) limits[name] = Number(Reflect.get(adapter.limits, name));
  return {
    vendor: info.vendor,
    architecture: info.architecture,
    device: info.device,
    description: info.description,
    isFallbackAdapter: info.isFallbackAdapter,
    subgroupMinSize: info.subgroupMinSize,
    subgroupMaxSize: info.subgroupMaxSize,
    features: [...features].sort(),
    limits,
  };
}

/** Null while the model loads; then the failure, if any. */
function loadEndInPage(): { failure?: string } | null {
  const failure = document.querySelector<HTMLElement>('#failure');
  if (failure && !failure.hidden) {
    const words = (part: string): string => document.querySelector(`#failure-${part}`)?.textContent ?? '';
    return { failure: `${words('title')}. ${words('advice')} (${words('detail')})` };
  }
  return document.querySelector('#open-measure:enabled') ? {} : null;
}

/** Greedy, so that devices can be compared. */
function askInPage(prompt: string, maxTokens: number): void {
  const set = (id: string, value: string): void => {
    const field = document.querySelector<HTMLInputElement | HTMLTextAreaElement>(`#${id}`);
    if (!field) throw new Error(`the page has no #${id}`);
    field.value = value;
    field.dispatchEvent(new Event('input', { bubbles: true }));
  };
  set('temperature', '0');
  set('max-tokens', String(maxTokens));
  set('prompt', prompt);
  document.querySelector<HTMLElement>('#send')?.click();
}

/** Null while the answer is in progress. */
function answerInPage(): {
  text: string;
  note: string;
  ttft: string;
  speed: string;
} | null {
  const answer = document.querySelector('[data-testid=message][data-role=assistant]:last-child');
  if (!answer || answer.hasAttribute('aria-busy')) return null;
  const textOf = (selector: string, within: ParentNode = document): string =>
    within.querySelector<HTMLElement>(selector)?.innerText ?? '';
  const failure = textOf('[data-testid=message-error]', answer);
  if (failure !== '') throw new Error(failure);
  return {
    text: textOf('.text', answer),
    note: textOf('.answer-details .note', answer),
    ttft: textOf('#ttft'),
    speed: textOf('#tokens-per-second'),
  };
}

/** Opens the page's dialog, starts, and captures the copied text, because not every browser allows clipboard access. */
function measureInPage(): void {
  const writeText = (text: string): Promise<void> => {
    document.body.dataset['copied'] = text;
    return Promise.resolve();
  };
  Object.defineProperty(navigator, 'clipboard', { value: { writeText } });
  document.querySelector<HTMLElement>('#open-measure')?.click();
  document.querySelector<HTMLElement>('#measure-run')?.click();
}

/** Null while the measurement runs. */
function reportInPage(): { report?: string; failure?: string } | null {
  const failure = document.querySelector<HTMLElement>('#measure-failure');
  if (failure && !failure.hidden) return { failure: failure.innerText };
  const copy = document.querySelector<HTMLElement>('#measure-copy');
  if (!copy || copy.hidden) return null;
  copy.click();
  return { report: document.body.dataset['copied'] };
}

/** Parses the page's times: `41 ms`, `12.3 s`. */
function milliseconds(words: string): number | null {
  const number = numberIn(words);
  return number === null ? null : /\ds$|\d s$/.test(words) ? 1000 * number : number;
}

function numberIn(words: string): number | null {
  const number = parseFloat(words);
  return Number.isNaN(number) ? null : number;
}

/** Reports in the log and, on GitHub, on the run's page. */
function tell(): void {
  const { failure, answer, webgpu, adapter } = check;
  const isError = failure !== undefined && (webgpu !== false || requireWebGpu);
  const words = failure ?? `${answer?.tokensPerSecond} tokens a second`;
  const where = [browser, check.browserVersion, adapter?.vendor, adapter?.architecture, adapter?.description];
  const line = `${where.filter(Boolean).join(' ')}: ${words}`;
  const level = failure === undefined ? 'notice' : isError ? 'error' : 'warning';
  console.log(process.env['GITHUB_ACTIONS'] === 'true' ? `::${level}::${line.replace(/\s+/g, ' ')}` : line);
  process.exitCode = isError ? 1 : 0;
}

function readArguments(): { browser: BrowserName; out: string; software: boolean; requireWebGpu: boolean } {
  const { values } = parseArgs({
    options: {
      browser: { type: 'string' },
      out: { type: 'string' },
      software: { type: 'boolean', default: false },
      'require-webgpu': { type: 'boolean', default: false },
    },
  });
  const browser = BROWSERS.find((name) => name === values.browser);
  if (!browser || values.out === undefined) throw new Error(`--browser ${BROWSERS.join('|')} --out FILE`);
  return { browser, out: values.out, software: values.software, requireWebGpu: values['require-webgpu'] };
}
