import type { Browser, BrowserContext, JSHandle, Locator, Page } from 'playwright';

/** The demo page with a user's actions. */
export class DemoPage {
  readonly answers: Locator;
  readonly prompt: Locator;
  readonly stop: Locator;

  private constructor(readonly page: Page) {
    this.answers = page.locator('[data-testid=message][data-role=assistant]');
    this.prompt = page.getByTestId('prompt');
    this.stop = page.getByTestId('stop');
  }

  /** Opens `url` in a fresh profile without stored data. The page stores no files for offline use. */
  static async open(browser: Browser, url: string): Promise<DemoPage> {
    return DemoPage.openIn(await browser.newContext({ serviceWorkers: 'block' }), url);
  }

  static async openIn(context: BrowserContext, url: string): Promise<DemoPage> {
    const page = await context.newPage();
    page.setDefaultTimeout(60_000);
    await page.goto(url);
    return new DemoPage(page);
  }

  /** Resolves when the model is open; throws the page's failure text. */
  async loaded(): Promise<void> {
    const failure = this.page.getByTestId('load-error');
    await this.page.locator('#loading').waitFor({ state: 'hidden' });
    if (await failure.isVisible()) throw new Error(await failure.innerText());
  }

  /** Accepts the question before a download. */
  async accept(): Promise<void> {
    await this.page.getByTestId('offer-accept').click();
  }

  /** Opens a model by the page's dialog. */
  async typeModel(address: string): Promise<void> {
    await this.page.getByRole('button', { name: 'Model:' }).click();
    await this.page.locator('#model-url').fill(address);
    await this.page.getByRole('button', { name: 'Open', exact: true }).click();
  }

  /** Opens files from disk as a model. */
  async openFiles(...paths: string[]): Promise<void> {
    await this.page.locator('#picker-file').setInputFiles(paths);
  }

  /** The title of the conversation on the page; undefined in a new one. */
  async title(): Promise<string | undefined> {
    const current = this.page.locator('.conversation[aria-current]');
    return (await current.count()) === 0 ? undefined : current.textContent().then((text) => text ?? undefined);
  }

  /** Records messages to the page's workers from now on. */
  sentToWorkers(): Promise<JSHandle<unknown[]>> {
    return this.page.evaluateHandle(() => {
      const messages: unknown[] = [];
      const post = Reflect.get(Worker.prototype, 'postMessage') as (...message: unknown[]) => void;
      Worker.prototype.postMessage = function (this: Worker, ...message: unknown[]) {
        messages.push(message[0]);
        Reflect.apply(post, this, message);
      };
      return messages;
    });
  }

  /** Opens the settings with the advanced part. */
  async openSettings(): Promise<void> {
    await this.page.getByRole('button', { name: 'Settings' }).click();
    const advanced = this.page.locator('#advanced-settings');
    if ((await advanced.getAttribute('open')) === null) await advanced.locator('summary').click();
  }

  /** Sets a slider of the settings. */
  async setSlider(name: string, value: number): Promise<void> {
    await this.openSettings();
    await this.page.getByRole('slider', { name }).fill(String(value));
    await this.page.getByRole('button', { name: 'Done' }).click();
  }

  /** Chooses options in the settings, by label. */
  async setChoices(choices: Record<string, string>): Promise<void> {
    await this.openSettings();
    for (const [label, choice] of Object.entries(choices))
      await this.page.getByLabel(label, { exact: true }).selectOption(choice);
    await this.page.getByRole('button', { name: 'Done' }).click();
  }

  /** Chooses an adapter and waits until it is loaded or refused. */
  async chooseAdapter(choice: string): Promise<void> {
    await this.page.getByTestId('adapter-select').selectOption(choice);
    await this.adapterSettled();
  }

  async adapterSettled(): Promise<void> {
    await this.page.locator('body:not([aria-busy]) #adapter-select[aria-busy=false]:enabled').waitFor();
  }

  /** GPU bytes shown by the page, of a category or the total. */
  async bytes(category = 'total'): Promise<number> {
    return Number(await this.page.getByTestId(`memory-${category}`).getAttribute('data-bytes'));
  }

  async setMaxTokens(count: number): Promise<void> {
    await this.page.getByRole('button', { name: 'Settings' }).click();
    await this.page.getByLabel('Longest answer, in tokens').fill(String(count));
    await this.page.getByRole('slider', { name: 'Temperature' }).fill('0');
    await this.page.getByRole('button', { name: 'Done' }).click();
  }

  async setSystemPrompt(text: string): Promise<void> {
    await this.page.getByRole('button', { name: 'Settings' }).click();
    await this.page.getByLabel('System prompt').fill(text);
    await this.page.getByRole('button', { name: 'Done' }).click();
  }

  /** Answers of the shown conversation. */
  systemPrompt(): Promise<string> {
    return this.page.locator('#system-prompt').inputValue();
  }

  async send(text: string): Promise<void> {
    await this.prompt.fill(text);
    await this.prompt.press('Enter');
  }

  /** Sends a prompt and resolves when part of the answer is there. */
  async sendAndSee(text: string): Promise<void> {
    await this.send(text);
    const last = '[data-testid=message][aria-busy] .text';
    await this.page.waitForFunction(
      (query) => (document.querySelector<HTMLElement>(query)?.innerText.length ?? 0) > 5,
      last,
    );
  }

  /** Sends a prompt, waits for the whole answer, and returns its text, note and details. */
  async ask(text: string): Promise<{ text: string; note: string }> {
    await this.send(text);
    return this.answered();
  }

  async answered(): Promise<{ text: string; note: string }> {
    const last = this.answers.last();
    await this.page.locator('[data-testid=message][aria-busy]').waitFor({ state: 'detached' });
    return {
      text: await last.locator('.text').first().innerText(),
      note: (await last.locator('.note').allInnerTexts()).join(' · '),
    };
  }

  /** Opens the details of the last answer. */
  async openDetails(): Promise<void> {
    await this.answers.last().getByRole('button', { name: 'Details', exact: true }).click();
  }

  /** The text on the page. */
  read(testId: string): Promise<string> {
    return this.page.getByTestId(testId).innerText();
  }

  async close(): Promise<void> {
    await this.page.context().close();
  }
}
