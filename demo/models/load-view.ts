import type { LoadProgress } from '../../src/api/index.ts';
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

/** How far the loading of the model is, or why it failed. */
export class LoadView {
  private readonly loading = byId('loading', HTMLElement);
  private readonly failure = byId('failure', HTMLElement);
  private readonly title = byId('loading-title', HTMLElement);
  private readonly detail = byId('loading-detail', HTMLElement);
  private readonly about = byId('loading-about', HTMLElement);
  private readonly bar = byId('progress', HTMLProgressElement);
  private readonly closest = byId('failure-closest', HTMLElement);
  private readonly openClosest = byId('open-closest', HTMLButtonElement);
  private open: () => void = () => undefined;
  private progress: LoadProgress = { phase: 'header', bytes: 0, total: 0 };

  constructor() {
    this.openClosest.addEventListener('click', () => this.open());
  }

  begin(): void {
    this.failure.hidden = true;
    this.loading.hidden = false;
    this.describe('');
    this.show({ phase: 'header', bytes: 0, total: 0 });
  }

  /** What is loaded, from where. */
  describe(text: string): void {
    this.about.textContent = text;
  }

  show(progress: LoadProgress): void {
    this.progress = progress;
    this.draw();
  }

  done(): void {
    this.loading.hidden = true;
    this.failure.hidden = true;
  }

  /** `current`: the model that was there before, and still is. */
  fail(error: unknown, current: string | undefined): void {
    const { title, advice, detail } = errorWords(error);
    this.loading.hidden = true;
    byId('failure-title', HTMLElement).textContent = title;
    byId('failure-advice', HTMLElement).textContent =
      current === undefined ? advice : `${advice} ${current} still answers.`;
    byId('failure-detail', HTMLElement).textContent = detail;
    this.closest.hidden = this.openClosest.hidden = true;
    this.failure.hidden = false;
  }

  /** Names the model that can be opened in place of the one that failed. */
  offerClosest(name: string, about: string, open: () => void): void {
    this.closest.textContent = about;
    this.openClosest.textContent = `Open ${name}`;
    this.open = open;
    this.closest.hidden = this.openClosest.hidden = false;
    this.openClosest.scrollIntoView({ block: 'nearest' });
  }

  private readonly draw = oncePerFrame(() => {
    const { phase, bytes, total } = this.progress;
    const title = TITLES[phase];
    // Written only when it changes: a screen reader says it each time.
    if (this.title.textContent !== title) this.title.textContent = title;
    this.detail.textContent = total > 0 ? `${formatBytes(bytes)} of ${formatBytes(total)}` : '';
    if (total > 0) {
      this.bar.max = total;
      this.bar.value = bytes;
    } else this.bar.removeAttribute('value');
  });
}
