import type { ErrorCode, LoadProgress } from '../../src/api/index.ts';
import { ChunkwiseError } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';
import { errorWords } from '../basics/error-words.ts';
import { formatBytes } from '../basics/format.ts';
import { oncePerFrame } from '../basics/frame.ts';

const TITLES: Record<LoadProgress['phase'], string> = {
  header: 'Checking the model',
  download: 'Downloading the model',
  verify: 'Checking the stored model',
  upload: 'Loading the model onto the GPU',
  compile: 'Preparing the GPU',
};

/** Errors of the device, which no other model avoids. */
const OF_DEVICE: readonly ErrorCode[] = ['no_webgpu', 'kernel_refused', 'wrong_results'];

/** Progress of loading a model, or the reason why it failed. */
export class LoadView {
  private readonly loading = byId('loading', HTMLElement);
  private readonly failure = byId('failure', HTMLElement);
  private readonly title = byId('loading-title', HTMLElement);
  private readonly detail = byId('loading-detail', HTMLElement);
  private readonly about = byId('loading-about', HTMLElement);
  private readonly bar = byId('progress', HTMLProgressElement);
  private readonly current = byId('failure-current', HTMLElement);
  private readonly closest = byId('failure-closest', HTMLElement);
  private readonly openClosest = byId('open-closest', HTMLButtonElement);
  private readonly dismissal = byId('dismiss-failure', HTMLButtonElement);
  private open: () => void = () => undefined;
  private progress: LoadProgress = { phase: 'header', bytes: 0, total: 0 };
  /** The model that is loading, and the one that answers meanwhile. */
  private found = '';
  private meanwhile = '';

  /** `onCard`: a failure is shown in the chat. */
  constructor(private readonly onCard: () => void) {
    this.openClosest.addEventListener('click', () => this.open());
    this.dismissal.addEventListener('click', () => this.dismiss());
  }

  /** `current`: the model that answers until the next one is open. */
  begin(current: string | undefined): void {
    this.dismiss();
    this.meanwhile = current === undefined ? '' : `${current} answers until then.`;
    this.beginLoading();
  }

  /** Reopens `name`, which answered before; the failure stays visible. */
  beginAgain(name: string): void {
    this.showCurrent(`${name} is reopening …`);
    this.meanwhile = `${name} answered before.`;
    this.beginLoading();
  }

  /** The loading model and its source. */
  describe(found: string): void {
    this.found = found;
    this.showAbout();
  }

  /** The answering model ends, because there is no room for both. */
  leaveCurrent(): void {
    this.meanwhile = '';
    this.showAbout();
  }

  show(progress: LoadProgress): void {
    this.progress = progress;
    this.draw();
  }

  /** Loading continues after the user's consent. */
  goOn(): void {
    this.loading.hidden = false;
  }

  /** Loading ended. */
  done(): void {
    this.loading.hidden = true;
  }

  /** Hides the failure. */
  dismiss(): void {
    this.failure.hidden = true;
  }

  /** `name`, which answered before the failure, is open again. */
  doneAgain(name: string): void {
    this.done();
    this.showCurrent(`${name} answers again.`);
    this.dismissal.hidden = false;
  }

  /** `current`: the model that answers still. */
  fail(error: unknown, current: string | undefined): void {
    const { title, advice, detail } = errorWords(error, 'opening');
    const isOfDevice = error instanceof ChunkwiseError && OF_DEVICE.includes(error.code);
    this.done();
    byId('failure-title', HTMLElement).textContent = title;
    byId('failure-advice', HTMLElement).textContent = advice;
    byId('failure-detail', HTMLElement).textContent = detail;
    byId('other-model', HTMLElement).hidden = byId('other-file', HTMLElement).hidden = isOfDevice;
    this.showCurrent(current === undefined ? '' : `${current} still answers.`);
    this.dismissal.hidden = current === undefined;
    this.closest.hidden = this.openClosest.hidden = true;
    this.failure.hidden = false;
    this.onCard();
  }

  /** `name` could not be reopened either. */
  failAgain(error: unknown, name: string): void {
    if (this.failure.hidden) this.fail(error, undefined);
    this.done();
    this.showCurrent(`${name} could not be reopened: ${errorWords(error, 'opening').title}.`);
  }

  /** Offers a model in place of the failed one. */
  offerClosest(name: string, about: string, open: () => void): void {
    this.closest.textContent = about;
    this.openClosest.textContent = `Open ${name}`;
    this.open = open;
    this.closest.hidden = this.openClosest.hidden = false;
  }

  private beginLoading(): void {
    this.loading.hidden = false;
    this.describe('');
    this.show({ phase: 'header', bytes: 0, total: 0 });
  }

  private showAbout(): void {
    this.about.textContent = [this.found, this.meanwhile].filter((part) => part !== '').join(' · ');
  }

  private showCurrent(text: string): void {
    this.current.textContent = text;
    this.current.hidden = text === '';
  }

  private readonly draw = oncePerFrame(() => {
    const { phase, bytes, total, kernels } = this.progress;
    const title = TITLES[phase];
    // Written on change only, because a screen reader reads each write.
    if (this.title.textContent !== title) this.title.textContent = title;
    this.detail.textContent = kernels
      ? `${kernels.compiled} of ${kernels.total} kernels compiled`
      : total > 0
        ? `${formatBytes(bytes)} of ${formatBytes(total)}`
        : '';
    const [done, most] = kernels ? [kernels.compiled, kernels.total] : [bytes, total];
    if (most > 0) {
      this.bar.max = most;
      this.bar.value = done;
    } else this.bar.removeAttribute('value');
  });
}
