import type { Engine, ErrorCode, FoundFiles, MemoryReport } from '../../src/api/index.ts';
import { ChunkwiseError, createEngine } from '../../src/api/index.ts';
import { modelName } from '../basics/format.ts';
import type { LoadView } from './load-view.ts';
import { forgetLink } from './model-link.ts';
import type { ModelPicker } from './model-picker.ts';
import { DEFAULT_MODEL_BYTES } from './models.ts';
import type { Offer } from './offer.ts';
import { downloadQuestion, foundLine } from './questions.ts';

/** Another model may run where this one does not; what is lost while one is loaded is mostly lost for want of memory. */
const TOO_LARGE: readonly ErrorCode[] = ['over_limit', 'device_lost'];
const CANNOT_RUN: readonly ErrorCode[] = ['unsupported', ...TOO_LARGE];

export interface ModelLoaderEvents {
  /** What answers, or what is under way, has changed. */
  onChange: () => void;
  /** The engine is about to end. */
  onLeave: () => void;
  onReady: (engine: Engine, memory: MemoryReport) => void;
  onFail: () => void;
  /** The user did not want the download, and there is no other model. */
  onDeclined: (model: string | File[]) => void;
}

/** The engine that answers, and the loading of the next one. The one before ends when the next is sure to be loaded. */
export class ModelLoader {
  engine: Engine | undefined;
  /** Whether anything was ever to be loaded. */
  hasBegun = false;
  /** What was to be loaded last could not be. */
  hasFailed = false;
  private loading: AbortController | undefined;
  private leaving: Promise<void> = Promise.resolve();
  private wanted: { model: string | File[]; isChosen: boolean } = { model: '', isChosen: false };

  constructor(
    private readonly view: LoadView,
    private readonly offer: Offer,
    private readonly models: ModelPicker,
    private readonly events: ModelLoaderEvents,
  ) {}

  get isLoading(): boolean {
    return this.loading !== undefined;
  }

  /** `isChosen`: by the user, who gets it at the next visit too. */
  async load(model: string | File[], isChosen: boolean): Promise<void> {
    // One at a time: the one that was asked for last.
    this.loading?.abort();
    const own = (this.loading = new AbortController());
    const { signal } = own;
    this.hasBegun = true;
    this.hasFailed = false;
    this.wanted = { model, isChosen };
    this.offer.withdraw();
    this.view.begin();
    this.events.onChange();
    let opened: Engine | undefined;
    try {
      opened = await createEngine({
        model,
        signal,
        confirmLoad: (found) => this.confirm(found, signal),
        onProgress: (progress) => {
          if (!signal.aborted) this.view.show(progress);
        },
      });
      const address = typeof model === 'string' ? model : undefined;
      const [memory] = await Promise.all([opened.memory(), this.models.remember(opened.model, address, isChosen)]);
      if (signal.aborted) {
        this.leaving = opened.dispose().catch(() => undefined);
        return;
      }
      if (isChosen && address !== undefined) forgetLink();
      this.engine = opened;
      this.loading = undefined;
      this.view.done();
      this.events.onReady(opened, memory);
      this.events.onChange();
    } catch (error) {
      void opened?.dispose().catch(() => undefined);
      if (!signal.aborted) this.end(error);
    }
  }

  retry(): void {
    void this.load(this.wanted.model, this.wanted.isChosen);
  }

  /** Of the model, and later of its adapters. */
  private async confirm(found: FoundFiles, signal: AbortSignal): Promise<boolean> {
    const isModel = found.kind === 'model';
    if (found.missingBytes > DEFAULT_MODEL_BYTES) {
      if (isModel) this.view.done();
      const current = this.engine && modelName(this.engine.model);
      if ((await this.offer.ask(downloadQuestion(found, current))) !== 'accepted') return false;
      if (isModel) this.view.begin();
    }
    if (!isModel || signal.aborted) return !signal.aborted;
    if (typeof this.wanted.model === 'string') this.view.describe(foundLine(found));
    await this.leave();
    return true;
  }

  /** Also where the one before is still on its way out, and has its memory. */
  private leave(): Promise<void> {
    const { engine } = this;
    if (!engine) return this.leaving;
    this.engine = undefined;
    this.events.onLeave();
    this.leaving = engine.dispose().catch(() => undefined); // its worker may have ended before
    return this.leaving;
  }

  private end(error: unknown): void {
    const { engine, wanted } = this;
    const isDeclined = error instanceof ChunkwiseError && error.code === 'aborted';
    this.loading = undefined;
    if (isDeclined) {
      this.view.done();
      forgetLink();
      if (!engine) return this.events.onDeclined(wanted.model);
    } else {
      this.hasFailed = true;
      this.view.fail(error, engine && modelName(engine.model));
      this.events.onFail();
      if (error instanceof ChunkwiseError && CANNOT_RUN.includes(error.code))
        void this.nameClosest(TOO_LARGE.includes(error.code));
    }
    this.events.onChange();
  }

  /** Below the failure of what was wanted, unless something else is by then. */
  private async nameClosest(isTooLarge: boolean): Promise<void> {
    const { wanted } = this;
    const failed = typeof wanted.model === 'string' ? wanted.model : wanted.model[0]?.name;
    const closest = await this.models.closestTo(failed ?? '', isTooLarge);
    if (closest && this.wanted === wanted && this.hasFailed) {
      this.view.offerClosest(closest.name, closest.about, () => void this.load(closest.address, true));
    }
  }
}
