import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, BrowserContext, CDPSession, Page, Worker as Thread } from 'playwright';
import { closeServer } from '../../tests/support/close-server.ts';
import { launchBrowser, MANY_CRASHES } from './browser.ts';

/** A WebGPU call in the engine's worker: the `count`th whose buffer, pipeline or descriptor has this label. */
export interface Moment {
  call: 'createBuffer' | 'createComputePipelineAsync' | 'submit' | 'writeBuffer' | 'mapAsync';
  label?: string;
  count?: number;
}

declare global {
  /** State in the engine's worker. */
  var arm: (moment: Moment | undefined) => void;
  /** In the page: code for workers that start from now on. */
  var armedAtStart: Moment | undefined;
  /** In the page: workers of its engines, latest last. */
  var threads: Worker[];
}

/** A browser whose GPU process may crash often. */
export const launchMany = (): Promise<Browser> => launchBrowser('lavapipe', MANY_CRASHES);

/**
 * Ends the browser's GPU process at a given WebGPU call: the calling thread waits until the process is gone, then makes
 * the call.
 */
export class GpuKiller {
  /** Number of kills. */
  kills = 0;
  /** Called while the thread waits and the process still runs. */
  before: () => Promise<void> = async () => undefined;

  private constructor(
    private readonly session: CDPSession,
    private readonly server: ReturnType<typeof createServer>,
  ) {}

  static async start(browser: Browser): Promise<GpuKiller> {
    const session = await browser.newBrowserCDPSession();
    const server = createServer((_, response) => {
      response.setHeader('Access-Control-Allow-Origin', '*');
      void killer.kill().then(
        () => response.end(),
        () => response.writeHead(500).end(),
      );
    });
    const killer = new GpuKiller(session, server);
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    return killer;
  }

  /** Resolves when the old process is gone. */
  async kill(): Promise<void> {
    await this.before();
    const process = await this.gpuProcess();
    if (process === undefined) throw new Error('there is no GPU process to end');
    await this.session.send('Browser.crashGpuProcess').catch(() => undefined); // the response may be lost with the process
    while ((await this.gpuProcess()) === process);
    this.kills++;
  }

  /** Prepares engines of the next documents for `arm`. */
  async prepare(page: Page | BrowserContext): Promise<void> {
    const address = `http://localhost:${(this.server.address() as AddressInfo).port}/`;
    await page.addInitScript(
      ([hook, url]) => {
        globalThis.threads = [];
        const Plain = globalThis.Worker;
        globalThis.Worker = class extends Plain {
          constructor(code: string | URL, options?: WorkerOptions) {
            if (options?.name !== 'engine') {
              super(code, options);
              return;
            }
            const request = new XMLHttpRequest();
            request.open('GET', code, false);
            request.send();
            const armed = `(${hook})(${JSON.stringify(url)}, ${JSON.stringify(globalThis.armedAtStart)});\n`;
            super(URL.createObjectURL(new Blob([armed, request.responseText], { type: 'text/javascript' })), options);
            globalThis.threads.push(this);
          }
        };
      },
      [hookCalls.toString(), address] as const,
    );
  }

  close(): Promise<void> {
    return closeServer(this.server);
  }

  private async gpuProcess(): Promise<number | undefined> {
    const { processInfo } = await this.session.send('SystemInfo.getProcessInfo');
    return processInfo.find(({ type }) => type === 'GPU')?.id;
  }
}

/** Arms the page's engine. */
export async function arm(page: Page, moment: Moment): Promise<void> {
  const thread = await engineThread(page);
  if (!thread) throw new Error('no engine');
  await thread.evaluate((moment) => globalThis.arm(moment), moment);
}

async function engineThread(page: Page): Promise<Thread | undefined> {
  for (const worker of page.workers().reverse())
    if (await worker.evaluate(() => 'arm' in globalThis).catch(() => false)) return worker;
  return undefined;
}

/** Runs in the worker before its own code. */
function hookCalls(killer: string, first: Moment | undefined): void {
  let armed: Moment | undefined = first;
  let left = first?.count ?? 1;
  globalThis.arm = (moment) => {
    armed = moment;
    left = moment?.count ?? 1;
  };
  const hook = (prototype: object, call: Moment['call']): void => {
    const methods = prototype as Record<string, (...args: unknown[]) => unknown>;
    const plain = methods[call] as (...args: unknown[]) => unknown;
    methods[call] = function (this: { label?: string }, ...args: unknown[]) {
      const [described] = args as { label?: string }[];
      const label = described?.label ?? this.label ?? '';
      if (armed?.call === call && label.startsWith(armed.label ?? '') && --left === 0) {
        armed = undefined;
        const request = new XMLHttpRequest();
        request.open('GET', killer, false);
        request.send();
      }
      return plain.apply(this, args);
    };
  };
  for (const call of ['createBuffer', 'createComputePipelineAsync'] as const) hook(GPUDevice.prototype, call);
  for (const call of ['submit', 'writeBuffer'] as const) hook(GPUQueue.prototype, call);
  hook(GPUBuffer.prototype, 'mapAsync');
  addEventListener('message', ({ data }) => {
    if (data === 'close') close(); // the worker ends itself, which its page does not notice
  });
}
