import { ChunkwiseError, type Engine, modelUrl } from '../../src/api/index.ts';

export interface StoredModel {
  /** A hub id or a URL. */
  name: string;
  /** What is there of it, which may not be all. */
  bytes: number;
}

/** So long an engine may take to tell; a busy one is not waited for. */
const PATIENCE_MS = 1000;

/** The models that the browser stores, as an engine tells of them. */
export class StoredModels {
  /** Undefined before any was told of. */
  private told: StoredModel[] | undefined;

  constructor(private readonly engine: () => Engine | undefined) {}

  /** Asks anew. Never throws: without an answer what was told last stays. */
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

  /** Throws `busy` where another tab is loading it, and what else the engine throws. */
  async delete({ name }: StoredModel): Promise<void> {
    const engine = this.engine();
    if (!engine)
      throw new ChunkwiseError('disposed', { file: name, reason: 'no model is loaded that could delete it' });
    await engine.cache.delete(name, 'model');
    this.told = this.told?.filter((each) => each.name !== name);
  }
}

/** Whether both are of one model: one may be an address as it was typed. */
export function isSame(a: string, b: string): boolean {
  if (a === b) return true;
  try {
    return modelUrl(a) === modelUrl(b);
  } catch {
    return false;
  }
}
