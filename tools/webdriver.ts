/**
 * A browser controlled by its driver, for Safari, which Playwright does not control. See
 * https://www.w3.org/TR/webdriver2/.
 */
import { spawn } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';

/** Longest wait for the driver to listen. */
const START_MS = 30_000;

interface Session {
  sessionId: string;
  capabilities: { browserVersion: string };
}

export interface DrivenBrowser {
  version: string;
  goto(url: string): Promise<void>;
  /** Evaluates `expression`, a promise, in the page and returns its value. */
  run(expression: string): Promise<string>;
  close(): Promise<void>;
}

/**
 * Starts the driver and a browser. `command` returns the driver's program and arguments for a port. Throws with the
 * driver's own message.
 */
export async function startByWebDriver(
  command: (port: number) => [program: string, ...args: string[]],
  capabilities: Record<string, unknown>,
): Promise<DrivenBrowser> {
  const port = await freePort();
  const [program, ...args] = command(port);
  const driver = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const failure = new Promise<never>((_, reject) => {
    driver.once('error', reject);
    driver.once('exit', (code) => reject(new Error(`${program} ended with ${code}`)));
  });
  failure.catch(() => undefined); // it also ends when it is killed
  const send = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(`http://localhost:${port}${path}`, { method, headers, body: JSON.stringify(body) });
    const { value } = (await response.json()) as { value: unknown };
    if (response.ok) return value;
    const { error, message } = value as { error: string; message: string };
    throw new Error(`${program}: ${error}: ${message}`);
  };
  try {
    await Promise.race([failure, untilItAnswers(() => send('GET', '/status'))]);
    const wanted = { capabilities: { alwaysMatch: capabilities } };
    const { sessionId, capabilities: given } = (await send('POST', '/session', wanted)) as Session;
    const path = `/session/${sessionId}`;
    return {
      version: given.browserVersion,
      goto: async (url) => void (await send('POST', `${path}/url`, { url })),
      run: async (expression) => {
        const script = `
          const done = arguments[arguments.length - 1];
          (${expression}).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
        const { value, error } = (await send('POST', `${path}/execute/async`, { script, args: [] })) as {
          value?: string;
          error?: string;
        };
        if (value === undefined) throw new Error(error);
        return value;
      },
      close: async () => {
        await send('DELETE', path).finally(() => driver.kill());
      },
    };
  } catch (error) {
    driver.kill();
    throw error;
  }
}

async function untilItAnswers(ask: () => Promise<unknown>): Promise<void> {
  const end = Date.now() + START_MS;
  for (;;) {
    try {
      await ask();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, 'localhost', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
