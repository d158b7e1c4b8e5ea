import type { DeviceReport, Engine } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';
import { download, fileName } from '../basics/download.ts';
import { errorWords } from '../basics/error-words.ts';
import { deviceTables } from './device-tables.ts';

/** The dialog that measures the device, and shows what was found. */
export class DeviceDialog {
  private readonly dialog = byId('measure', HTMLDialogElement);
  private readonly opener = byId('open-measure', HTMLButtonElement);
  private readonly budget = byId('measure-budget', HTMLSelectElement);
  private readonly start = byId('measure-run', HTMLButtonElement);
  private readonly stop = byId('measure-stop', HTMLButtonElement);
  private readonly running = byId('measure-running', HTMLElement);
  private readonly progress = byId('measure-progress', HTMLProgressElement);
  private readonly what = byId('measure-what', HTMLElement);
  private readonly failure = byId('measure-failure', HTMLElement);
  private readonly tables = byId('measure-tables', HTMLElement);
  private readonly copy = byId('measure-copy', HTMLButtonElement);
  private readonly save = byId('measure-save', HTMLButtonElement);
  private engine: Engine | undefined;
  private abort: AbortController | undefined;
  private report: DeviceReport | undefined;

  constructor() {
    this.opener.addEventListener('click', () => this.dialog.showModal());
    this.start.addEventListener('click', () => void this.measure());
    this.stop.addEventListener('click', () => this.abort?.abort());
    this.dialog.addEventListener('close', () => this.abort?.abort());
    this.copy.addEventListener('click', () => void this.copyJson());
    this.save.addEventListener('click', () =>
      download(`${fileName(this.report?.device.name ?? 'device')}.json`, this.json, 'application/json'),
    );
  }

  /** This engine's device is measured from now on. */
  follow(engine: Engine): void {
    this.abort?.abort();
    this.engine = engine;
    this.opener.disabled = false;
  }

  private get json(): string {
    return `${JSON.stringify(this.report, null, 2)}\n`;
  }

  private async measure(): Promise<void> {
    const { engine } = this;
    if (!engine || this.abort) return;
    const { signal } = (this.abort = new AbortController());
    this.show('running');
    this.progress.value = 0;
    this.what.textContent = 'Waiting until nothing else runs …';
    try {
      const onProgress = ({ done, what }: { done: number; what: string }): void => {
        this.progress.value = done;
        this.what.textContent = `Measuring ${what} …`;
      };
      this.report = await engine.measureDevice({ budgetMs: 1000 * Number(this.budget.value), onProgress, signal });
      this.tables.replaceChildren(...deviceTables(this.report));
      this.show('done');
    } catch (error) {
      const { title, advice, detail } = errorWords(error);
      this.failure.textContent = signal.aborted
        ? 'Stopped. Nothing was kept of it.'
        : `${title}. ${advice} (${detail})`;
      this.show('failed');
    } finally {
      this.abort = undefined;
    }
  }

  /** What was found before stays until there is something newer. */
  private show(state: 'running' | 'done' | 'failed'): void {
    const isRunning = state === 'running';
    const hadFocus = document.activeElement === this.start || document.activeElement === this.stop;
    this.running.hidden = !isRunning;
    this.stop.hidden = !isRunning;
    this.start.hidden = isRunning;
    this.budget.disabled = isRunning;
    this.failure.hidden = state !== 'failed';
    this.copy.hidden = this.save.hidden = this.report === undefined;
    if (hadFocus) (isRunning ? this.stop : this.start).focus();
  }

  private async copyJson(): Promise<void> {
    const isCopied = await navigator.clipboard.writeText(this.json).then(
      () => true,
      () => false,
    );
    this.copy.textContent = isCopied ? 'Copied' : 'The browser does not copy: save it';
    setTimeout(() => (this.copy.textContent = 'Copy JSON'), 3000);
  }
}
