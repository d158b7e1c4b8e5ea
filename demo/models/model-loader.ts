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

/** Errors that another model may avoid; a device lost during loading mostly lacks memory. */
const TOO_LARGE: readonly ErrorCode[] = ['over_limit', 'device_lost'];
const CANNOT_RUN: readonly ErrorCode[] = ['unsupported', ...TOO_LARGE];

export interface ModelLoaderEvents {
  /** The answering or the loading model changed. */
  onChange: () => void;
  /** The answering engine is about to end with its answers in progress. */
  onLeave: () => void;
  /** Another engine answers. Resolves when this one has finished its answers. */
  onReplaced: (engine: Engine) => Promise<void>;
  onReady: (engine: Engine, memory: MemoryReport) => void;
  /** No model is open. */
  onFail: () => void;
  /** The user declined the download, and no other model is open. */
  onDeclined: (model: string | File[]) => void;
}

interface Wanted {
  model: string | File[];
  /** The user chose it; it opens on the next visit too. */
  isChosen: boolean;
}

/**
 * The answering engine, and the loading of the next one. The former stays until the next is open; if there is no room
 * for both it ends first, and is reopened if the next one fails.
 */
export class ModelLoader {
  engine: Engine | undefined;
  /** Whether any load has started. */
  hasBegun = false;
  /** The last load failed. */
  hasFailed = false;
  private loading: AbortController | undefined;
  private wanted: Wanted = { model: '', isChosen: false };
  /** The model of the current engine. */
  private current: Wanted | undefined;
  /** The model that ended to make room for the loading one. */
  private left: Wanted | undefined;
  /** Engines on their way out, with the promise of their end. */
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

  /** Name of the answering model. */
  private get name(): string | undefined {
    return this.engine && modelName(this.engine.model);
  }

  private async open(wanted: Wanted): Promise<void> {
    // Only the latest load continues.
    this.loading?.abort();
    const own = (this.loading = new AbortController());
    const { signal } = own;
    this.hasBegun = true;
    this.offer.withdraw();
    this.models.showName(this.name ?? nameOf(wanted));
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

  /**
   * Opens the engine. If the GPU is lost beside the answering engine, the two may be too much: it tries again without
   * that one.
   */
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

  /** Confirms the files of the model, and later of its adapters. */
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

  /** Whether there is room beside the answering engine and those on their way out. */
  private async hasRoomFor(bytes: number): Promise<boolean> {
    const engines = [...(this.engine ? [this.engine] : []), ...this.leaving.keys()];
    // An engine whose worker ended has no memory.
    const memory = await Promise.all(engines.map((each) => each.memory().catch(() => ({ total: 0 }))));
    return engines.length === 0 || hasRoomBeside(bytes, memory, toldMemory());
  }

  /** Ends the answering engine, and resolves when its memory and that of all ending engines is free. */
  private async leave(): Promise<void> {
    const { engine } = this;
    if (engine) {
      this.engine = undefined;
      this.left = this.current;
      this.end(engine);
      this.view.leaveCurrent();
      this.models.showName(nameOf(this.wanted));
    }
    this.events.onLeave();
    await Promise.all(this.leaving.values());
  }

  /** Replaces the answering engine, which ends after its answers in progress. */
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

  /** `isIdle`: delays the end. */
  private end(engine: Engine, isIdle?: Promise<void>): void {
    const end = async (): Promise<void> => {
      await isIdle;
      await engine.dispose().catch(() => undefined); // its worker may have ended already
      this.leaving.delete(engine);
    };
    this.leaving.set(engine, end());
  }

  private fail(error: unknown, failed: Wanted): void {
    const { engine, left } = this;
    const isDeclined = error instanceof ChunkwiseError && error.code === 'aborted';
    this.loading = undefined;
    if (!engine) this.models.showName(undefined);
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

  /** Offers the closest model below the failure, unless another load has started. */
  private async nameClosest(isTooLarge: boolean): Promise<void> {
    const { wanted } = this;
    const failed = typeof wanted.model === 'string' ? wanted.model : wanted.model[0]?.name;
    const closest = await this.models.closestTo(failed ?? '', isTooLarge);
    if (closest && this.wanted === wanted && this.hasFailed) {
      this.view.offerClosest(closest.name, closest.about, () => void this.load(closest.address, true));
    }
  }
}

/** Rejects an encoder, which opens but generates no text. Throws `unsupported`. */
async function checkAnswers(engine: Engine): Promise<void> {
  try {
    await engine.countTokens([{ role: 'user', content: 'Hello' }]);
  } catch (error) {
    const isOfModel = error instanceof ChunkwiseError && error.code === 'unsupported' && error.detail.field === 'model';
    if (isOfModel) throw error; // the first answer reports a broken chat template
  }
}

/** The page's name of a model. */
const nameOf = ({ model }: Wanted): string => modelName(typeof model === 'string' ? model : (model[0]?.name ?? ''));
