import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Page } from 'playwright';
import { build } from 'vite';
import { launchWithProfile } from '../../../e2e/support/browser.ts';
import { demoAdapter, MODEL } from '../engine.ts';
import { watchBrowserMemory } from './browser-memory.ts';
import { type PageServer, servePage } from './page-server.ts';
import { ensurePeers, PAGES } from './pages/install.ts';
import type { Answer, OpenPeer, Peer, Question } from './peer.ts';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const BUILT = join(ROOT, '.cache/peers');

interface Opening {
  model: string;
  contextLength: number;
  gpu: boolean;
  adapters?: { peft: string; gguf: string };
}

declare global {
  /** Interface of the peers' pages. */
  var peer: {
    open(opening: Opening): Promise<string>;
    /** Arrival time of each token's text, in milliseconds since the request. */
    answer(prompt: string, count: number): Promise<{ text: string; at: number[] }>;
  };
}

interface BrowserPeer {
  name: string;
  type: string;
  /** Name of its page, a module in `pages`. */
  page: string;
  gpu: boolean;
  /** Whether the runtime can load a LoRA adapter. */
  takesAdapters: boolean;
}

export const BROWSER_PEERS: readonly BrowserPeer[] = [
  { name: 'Chunkwise', type: 'Q4_1', page: 'chunkwise', gpu: true, takesAdapters: true },
  { name: 'wllama, WebGPU', type: 'Q4_1', page: 'wllama', gpu: true, takesAdapters: true },
  { name: 'wllama, CPU', type: 'Q4_1', page: 'wllama', gpu: false, takesAdapters: true },
  { name: 'transformers.js', type: 'q4 (ONNX)', page: 'transformers', gpu: true, takesAdapters: false },
  { name: 'web-llm', type: 'q0f16 (MLC)', page: 'web-llm', gpu: true, takesAdapters: false },
];

/** `gguf`: the adapter's GGUF form; without it no adapter is loaded. A first visit stores the model. */
export function inChromium({ name, type, page, gpu }: BrowserPeer, contextLength: number, gguf?: string): Peer {
  let profile: string | undefined;
  const opening: Opening = {
    model: 'model.gguf',
    contextLength,
    gpu,
    ...(gguf && { adapters: { peft: 'adapter/', gguf: 'adapter.gguf' } }),
  };
  let server: PageServer | undefined;
  return {
    ...{ name, host: 'Chromium', type, adapted: gguf !== undefined },
    async open() {
      server ??= await servePage(await builtPage(page), {
        '/model.gguf': join(ROOT, MODEL),
        '/adapter.gguf': gguf ?? '',
        '/adapter/': join(ROOT, `${demoAdapter('wikitext')}/`),
      });
      if (profile === undefined) {
        profile = await mkdtemp(join(tmpdir(), 'peers-'));
        await (await visit({ server, page, profile, opening })).close();
      }
      return visit({ server, page, profile, opening });
    },
    async forget() {
      await server?.close();
      if (profile !== undefined) await rm(profile, { recursive: true, force: true });
    },
  };
}

const built = new Map<string, Promise<string>>();

/** Builds a page as an app would, and returns its folder. */
function builtPage(page: string): Promise<string> {
  const folder = join(BUILT, page);
  const make = async (): Promise<string> => {
    await ensurePeers();
    const index = join(PAGES, `${page}.html`);
    await writeFile(
      index,
      `<!doctype html><meta charset="utf-8"><title>${page}</title><script type="module" src="./${page}.js"></script>`,
    );
    try {
      const rolldownOptions = { input: index };
      await build({
        configFile: false,
        root: PAGES,
        base: './',
        logLevel: 'error',
        build: { target: 'es2022', outDir: folder, emptyOutDir: true, rolldownOptions },
      });
    } finally {
      await rm(index);
    }
    return folder;
  };
  const making = built.get(page) ?? make();
  built.set(page, making);
  return making;
}

interface Visit {
  server: PageServer;
  page: string;
  profile: string;
  opening: Opening;
}

async function visit({ server, page: name, profile, opening }: Visit): Promise<OpenPeer> {
  const context = await launchWithProfile('lavapipe', profile);
  const memory = watchBrowserMemory();
  const failed: string[] = [];
  const close = async (): Promise<void> => {
    await memory.stop();
    await context.close().catch(() => undefined); // it may have crashed, which another error reports
  };
  try {
    const page = await context.newPage();
    page.on('requestfailed', (request) => failed.push(`${request.url()}: ${request.failure()?.errorText}`));
    server.payload();
    const start = performance.now();
    await page.goto(`${server.root}${name}.html`);
    await page.waitForFunction(() => 'peer' in globalThis);
    const device = await page.evaluate((opening) => globalThis.peer.open(opening), opening);
    const loadMs = performance.now() - start;
    return {
      device,
      loadMs,
      payload: server.payload(),
      answer: (question) => answerOf(page, question),
      peakBytes: () => memory.stop(),
      close,
    };
  } catch (error) {
    await close();
    const [message] = String(error).split('\n');
    throw new Error(failed.length > 0 ? `${message} (${failed[0]})` : message);
  }
}

async function answerOf(page: Page, { text, count }: Question): Promise<Answer> {
  const { text: answer, at } = await page.evaluate(([prompt, count]) => globalThis.peer.answer(prompt, count), [
    text,
    count,
  ] as const);
  const [promptMs = NaN] = at;
  return { text: answer, promptMs, stepMs: at.slice(1).map((ms, i) => ms - (at[i] ?? NaN)) };
}
