import { join } from 'node:path';
import { chromium } from 'playwright';
import { CHROMIUM_FOLDER } from './setup/system.ts';
import { type DrivenBrowser, startByWebDriver } from './webdriver.ts';

export const BROWSERS = ['chrome', 'msedge', 'chromium', 'safari'] as const;
export type BrowserName = (typeof BROWSERS)[number];

/** Flags for software adapters in Chromium. */
const SOFTWARE_ARGUMENTS = ['--enable-unsafe-webgpu', '--ignore-gpu-blocklist'];

/** A page in a browser installed on this machine. */
export class BrowserTab {
  private constructor(private readonly browser: DrivenBrowser) {}

  /** `software`: allow software adapters. */
  static async open(name: BrowserName, software: boolean): Promise<BrowserTab> {
    if (name !== 'safari') return new BrowserTab(await startByPlaywright(name, software ? SOFTWARE_ARGUMENTS : []));
    return new BrowserTab(
      await startByWebDriver((port) => ['safaridriver', '--port', String(port)], { browserName: 'safari' }),
    );
  }

  get browserVersion(): string {
    return this.browser.version;
  }

  goto(url: string): Promise<void> {
    return this.browser.goto(url);
  }

  /** Runs `work` in the page, where it sees only its arguments and the page. Arguments and result pass through JSON. */
  async evaluate<Args extends readonly unknown[], Result>(
    work: (...args: Args) => Result | Promise<Result>,
    ...args: Args
  ): Promise<Result> {
    // tsx wraps functions in a helper that the page lacks.
    const expression = `(async () => {
      const __name = (value) => value;
      return JSON.stringify((await (${work.toString()})(...${JSON.stringify(args)})) ?? null);
    })()`;
    return JSON.parse(await this.browser.run(expression)) as Result;
  }

  close(): Promise<void> {
    return this.browser.close();
  }
}

/** `chromium` is Debian's; the others are at their installers' paths. Headless, with a fresh profile. */
async function startByPlaywright(
  name: Exclude<BrowserName, 'safari'>,
  args: readonly string[],
): Promise<DrivenBrowser> {
  const program = name === 'chromium' ? { executablePath: join(CHROMIUM_FOLDER, 'chromium') } : { channel: name };
  const asRoot = process.getuid?.() === 0 ? ['--no-sandbox'] : []; // the sandbox does not run as root
  const browser = await chromium.launch({ ...program, headless: true, args: [...args, ...asRoot] });
  const page = await browser.newPage();
  return {
    version: browser.version(),
    goto: async (url) => void (await page.goto(url)),
    run: (expression) => page.evaluate<string>(expression),
    close: () => browser.close(),
  };
}
