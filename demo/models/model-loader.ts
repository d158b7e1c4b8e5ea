import type { Engine, ErrorCode, FoundFiles, MemoryReport } from '../../src/api/index.ts';
import { ChunkwiseError, createEngine } from '../../src/api/index.ts';
import { modelName } from '../basics/format.ts';
import { hasRoomBeside, toldMemory } from './device-fit.ts';
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
  /** The engine that answers is about to end, with what it is writing. */
  onLeave: () => void;
  /** Another engine answers from now on. Resolves when this one has written what it was asked for. */
  onReplaced: (engine: Engine) => Promise<void>;
  onReady: (engine: Engine, memory: MemoryReport) => void;
  /** There is no model that answers. */
  onFail: () => void;
  /** The user did not want the download, and there is no other model. */
  onDeclined: (model: string | File[]) => void;
}

interface Wanted {
  model: string | File[];
  /** By the user, who gets it at the next visit too. */
  isChosen: boolean;
}

/**
 * The engine that answers, and the loading of the next one. The one before stays until the next is open; where there is
 * no room for both it ends first, and is opened again if the next one cannot be.
 */
export class ModelLoader {
  engine: Engine | undefined;
  /** Whether anything was ever to be loaded. */
  hasBegun = false;
  /** What was to be loaded last could not be. */
  hasFailed = false;
  private loading: AbortController | undefined;
  private wanted: Wanted = { model: '', isChosen: false };
  /** What the engine was opened with. */
  private current: Wanted | undefined;
  /** What ended for the sake of the model that is being loaded. */
  private left: Wanted | undefined;
  /** Engines that do not answer any more, until they have ended. */
  private readonly leaving = new Map<Engine, Promise<void>>();

  constructor(
    private readonly view: LoadView,
    private readonly offer: Offer,
    private readonly models: ModelPicker,
    private readonly events: ModelLoaderEvents,
  ) {}

  get isLoading(): boolean {
    return this.loading !== undefined;
  }

  async load(model: string | File[], isChosen: boolean): Promise<void> {
    this.wanted = { model, isChosen };
    this.hasFailed = false;
    this.view.begin(this.name);
    await this.open(this.wanted);
  }

  retry(): void {
    void this.load(this.wanted.model, this.wanted.isChosen);
  }

  /** Of the model that answers. */
  private get name(): string | undefined {
    return this.engine && modelName(this.engine.model);
  }

  private async open(wanted: Wanted): Promise<void> {
    // One at a time: the one that was asked for last.
    this.loading?.abort();
    const own = (this.loading = new AbortController());
    const { signal } = own;
    this.hasBegun = true;
    this.offer.withdraw();
    this.events.onChange();
    let opened: Engine | undefined;
    try {
      opened = await this.create(wanted, signal);
      await checkAnswers(opened);
      const memory = await opened.memory();
      const address = typeof wanted.model === 'string' ? wanted.model : undefined;
      if (!signal.aborted) await this.models.remember(opened.model, address, wanted.isChosen);
      if (signal.aborted) return void this.end(opened);
      if (wanted.isChosen && address !== undefined) forgetLink();
      this.replace(opened, wanted);
      this.events.onReady(opened, memory);
      this.events.onChange();
    } catch (error) {
      if (opened) this.end(opened);
      if (!signal.aborted) this.fail(error, wanted);
    }
  }

  /** Where the GPU stops beside the engine that answers, the two may have been too much for it: then without that one. */
  private async create(wanted: Wanted, signal: AbortSignal): Promise<Engine> {
    const { model } = wanted;
    const create = (): Promise<Engine> =>
      createEngine({
        model,
        signal,
        confirmLoad: (found) => this.confirm(found, wanted, signal),
        onProgress: (progress) => {
          if (!signal.aborted) this.view.show(progress);
        },
      });
    try {
      return await create();
    } catch (error) {
      const isLost = error instanceof ChunkwiseError && error.code === 'device_lost';
      if (!isLost || !this.engine || signal.aborted) throw error;
      await this.leave();
      return create();
    }
  }

  /** Of the model, and later of its adapters. */
  private async confirm(found: FoundFiles, { model }: Wanted, signal: AbortSignal): Promise<boolean> {
    const isModel = found.kind === 'model';
    if (found.missingBytes > DEFAULT_MODEL_BYTES) {
      if (isModel) this.view.done();
      if ((await this.offer.ask(downloadQuestion(found, this.name))) !== 'accepted') return false;
      if (isModel) this.view.goOn();
    }
    if (!isModel || signal.aborted) return !signal.aborted;
    if (typeof model === 'string') this.view.describe(foundLine(found));
    if (!(await this.hasRoomFor(found.bytes))) await this.leave();
    return !signal.aborted;
  }

  /** Beside what answers, and what is still on its way out. */
  private async hasRoomFor(bytes: number): Promise<boolean> {
    const engines = [...(this.engine ? [this.engine] : []), ...this.leaving.keys()];
    // One whose worker has ended has no memory any more.
    const memory = await Promise.all(engines.map((each) => each.memory().catch(() => ({ total: 0 }))));
    return engines.length === 0 || hasRoomBeside(bytes, memory, toldMemory());
  }

  /** Ends what answers, and what is still on its way out. Resolves when their memory is free. */
  private async leave(): Promise<void> {
    const { engine } = this;
    if (engine) {
      this.engine = undefined;
      this.left = this.current;
      this.end(engine);
      this.view.leaveCurrent();
    }
    this.events.onLeave();
    await Promise.all(this.leaving.values());
  }

  /** The engine before writes what it was asked for, and ends then. */
  private replace(opened: Engine, wanted: Wanted): void {
    const { engine } = this;
    const isAgain = wanted === this.left;
    this.engine = opened;
    this.current = wanted;
    this.left = this.loading = undefined;
    if (isAgain) this.view.doneAgain(modelName(opened.model));
    else this.view.done();
    if (engine) this.end(engine, this.events.onReplaced(engine));
  }

  /** `isIdle`: what is waited for before. */
  private end(engine: Engine, isIdle?: Promise<void>): void {
    const end = async (): Promise<void> => {
      await isIdle;
      await engine.dispose().catch(() => undefined); // its worker may have ended before
      this.leaving.delete(engine);
    };
    this.leaving.set(engine, end());
  }

  private fail(error: unknown, failed: Wanted): void {
    const { engine, left } = this;
    const isDeclined = error instanceof ChunkwiseError && error.code === 'aborted';
    this.loading = undefined;
    if (failed === left) {
      this.left = undefined;
      this.hasFailed = true;
      this.view.failAgain(error, nameOf(left));
      this.events.onFail();
    } else if (isDeclined) {
      this.view.done();
      forgetLink();
      if (left) return this.openAgain(left);
      if (!engine) return this.events.onDeclined(failed.model);
    } else {
      this.hasFailed = true;
      this.view.fail(error, this.name);
      if (error instanceof ChunkwiseError && CANNOT_RUN.includes(error.code))
        void this.nameClosest(TOO_LARGE.includes(error.code));
      if (left) return this.openAgain(left);
      if (!engine) this.events.onFail();
    }
    this.events.onChange();
  }

  private openAgain(left: Wanted): void {
    this.view.beginAgain(nameOf(left));
    void this.open(left);
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

/** An encoder can be opened, and answers nothing. Throws `unsupported`. */
async function checkAnswers(engine: Engine): Promise<void> {
  try {
    await engine.countTokens([{ role: 'user', content: 'Hello' }]);
  } catch (error) {
    const isOfModel = error instanceof ChunkwiseError && error.code === 'unsupported' && error.detail.field === 'model';
    if (isOfModel) throw error; // a chat template at fault is told with the first answer
  }
}

/** What the page calls it. */
const nameOf = ({ model }: Wanted): string => modelName(typeof model === 'string' ? model : (model[0]?.name ?? ''));
