import type { DeviceReport, Engine } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';
import { download, fileName } from '../basics/download.ts';
import { errorWords } from '../basics/error-words.ts';
import { issueLink, webgpuBenchRecords } from './device-exports.ts';
import { deviceTables } from './device-tables.ts';

/** The dialog that measures the device and shows the results. */
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
  private readonly board = byId('measure-board', HTMLButtonElement);
  private readonly issue = byId('measure-issue', HTMLAnchorElement);
  private engine: Engine | undefined;
  private abort: AbortController | undefined;
  private report: DeviceReport | undefined;

  constructor() {
    this.opener.addEventListener('click', () => this.dialog.showModal());
    this.start.addEventListener('click', () => void this.measure());
    this.stop.addEventListener('click', () => this.abort?.abort());
    this.dialog.addEventListener('close', () => this.abort?.abort());
    this.copy.addEventListener('click', () => void this.copyJson());
    this.save.addEventListener('click', () => this.saveAs('json', this.json));
    this.board.addEventListener('click', () => {
      if (this.report)
        this.saveAs('webgpu-bench.json', `${JSON.stringify(webgpuBenchRecords(this.report), null, 2)}\n`);
    });
  }

  /** Measures this engine's device from now on. */
  follow(engine: Engine): void {
    this.abort?.abort();
    this.engine = engine;
    this.opener.disabled = false;
  }

  private get json(): string {
    return `${JSON.stringify(this.report, null, 2)}\n`;
  }

  private saveAs(ending: string, text: string): void {
    download(`${fileName(this.report?.device.name ?? 'device')}.${ending}`, text, 'application/json');
  }

  private async measure(): Promise<void> {
    const { engine } = this;
    if (!engine || this.abort) return;
    const { signal } = (this.abort = new AbortController());
    this.show('running');
    this.progress.value = 0;
    this.what.textContent = 'Waiting for running answers …';
    try {
      const onProgress = ({ done, what }: { done: number; what: string }): void => {
        this.progress.value = done;
        this.what.textContent = `Measuring ${what} …`;
      };
      this.report = await engine.measureDevice({ budgetMs: 1000 * Number(this.budget.value), onProgress, signal });
      this.issue.href = issueLink(this.report);
      this.tables.replaceChildren(...deviceTables(this.report));
      this.show('done');
    } catch (error) {
      const { title, advice, detail } = errorWords(error);
      this.failure.textContent = signal.aborted ? 'Stopped. No result was kept.' : `${title}. ${advice} (${detail})`;
      this.show('failed');
    } finally {
      this.abort = undefined;
    }
  }

  /** Earlier results stay until newer ones arrive. */
  private show(state: 'running' | 'done' | 'failed'): void {
    const isRunning = state === 'running';
    const hadFocus = document.activeElement === this.start || document.activeElement === this.stop;
    this.running.hidden = !isRunning;
    this.stop.hidden = !isRunning;
    this.start.hidden = isRunning;
    this.budget.disabled = isRunning;
    this.failure.hidden = state !== 'failed';
    for (const each of [this.copy, this.save, this.board, this.issue]) each.hidden = this.report === undefined;
    if (hadFocus) (isRunning ? this.stop : this.start).focus();
  }

  private async copyJson(): Promise<void> {
    const isCopied = await navigator.clipboard.writeText(this.json).then(
      () => true,
      () => false,
    );
    this.copy.textContent = isCopied ? 'Copied' : 'The browser cannot copy: save it instead';
    setTimeout(() => (this.copy.textContent = 'Copy JSON'), 3000);
  }
}
