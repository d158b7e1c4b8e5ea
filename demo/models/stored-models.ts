import { ChunkwiseError, type Engine, modelUrl } from '../../src/api/index.ts';

export interface StoredModel {
  /** A hub id or a URL. */
  name: string;
  /** Stored bytes, possibly incomplete. */
  bytes: number;
}

/** Most milliseconds for an engine's response; a busy one is not waited for. */
const PATIENCE_MS = 1000;

/** The browser's stored models, as reported by an engine. */
export class StoredModels {
  /** Undefined before the first report. */
  private told: StoredModel[] | undefined;

  constructor(private readonly engine: () => Engine | undefined) {}

  /** Refreshes the list. Never throws: without a response the last list stays. */
  async read(): Promise<void> {
    const asked = this.engine()
      ?.cache.list()
      .catch(() => undefined);
    const patience = new Promise<undefined>((resolve) => setTimeout(resolve, PATIENCE_MS, undefined));
    const answer = await Promise.race([asked, patience]);
    if (answer) this.told = answer.filter(({ kind }) => kind === 'model');
  }

  get isKnown(): boolean {
    return this.told !== undefined;
  }

  get all(): readonly StoredModel[] {
    return this.told ?? [];
  }

  of(address: string): StoredModel | undefined {
    return this.told?.find(({ name }) => isSame(name, address));
  }

  /** Deletes a model. Throws `busy` while another tab loads it, and the engine's errors. */
  async delete({ name }: StoredModel): Promise<void> {
    const engine = this.engine();
    if (!engine) throw new ChunkwiseError('disposed', { file: name, reason: 'no open model can delete it' });
    await engine.cache.delete(name, 'model');
    this.told = this.told?.filter((each) => each.name !== name);
  }
}

/** Whether both name one model: one may be a typed address. */
export function isSame(a: string, b: string): boolean {
  if (a === b) return true;
  try {
    return modelUrl(a) === modelUrl(b);
  } catch {
    return false;
  }
}
