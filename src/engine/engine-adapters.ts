import { type AdapterModules, readAdapter } from '../adapters/formats/adapter-file.ts';
import type { AdapterSource } from '../adapters/formats/adapter-header.ts';
import { buildAdapterLadder } from '../adapters/ladder/adapter-ladder.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { type Adaptation, planned, UNADAPTED, wholeAdapters } from './adaptation.ts';
import { AdapterRegistry } from './adapter-registry.ts';
import type { LiveSession } from './live-session.ts';
import { inlinePlans } from './plan-service.ts';
import type { AdapterInfo, AdapterUse, EngineCoreOptions, PlanEvent, RankOptions } from './types.ts';

/** How a text takes its adapters; `all`: with all of their ranks. */
export type TextRanks = (RankOptions & { onPlan?: (event: PlanEvent) => void }) | 'all';

/** The adapters of an engine: loads them, and tells how texts take them. */
export class EngineAdapters {
  readonly #registry: AdapterRegistry;

  constructor(
    private readonly session: LiveSession,
    private readonly tokenizer: Tokenizer,
    private readonly options: Pick<EngineCoreOptions, 'lora' | 'buildLadders' | 'plans'>,
  ) {
    this.#registry = new AdapterRegistry(options.lora ?? 'fused');
  }

  /** Errors: `bad_file`, `unsupported`, `bad_request`. */
  async load(name: string, source: AdapterSource): Promise<AdapterInfo> {
    const { config, names } = (await this.session.get()).plan;
    const adapter = await readAdapter(source, { config, names });
    const { invocation } = adapter;
    if (invocation && this.options.lora === 'unfused') {
      const reason = 'adapters in their plain form run on all tokens of a text';
      throw new ChunkwiseError('unsupported', { file: invocation.file, field: invocation.field, reason });
    }
    const { buildLadders = async (modules: AdapterModules) => buildAdapterLadder(modules) } = this.options;
    const ladders = await buildLadders(adapter);
    return this.session.use((session) => this.#registry.load(session, name, adapter, ladders));
  }

  /** Errors: `bad_request` for an unknown name, or one in use. */
  unload(name: string): void {
    this.#registry.unload(name);
  }

  list(): AdapterInfo[] {
    return this.#registry.list();
  }

  /** Keeps adapters from being unloaded until the returned function is called. Errors: `bad_request`. */
  hold(uses: readonly AdapterUse[]): () => void {
    return this.#registry.hold(uses);
  }

  /**
   * How texts take these adapters: by a plan. Errors: `bad_request`; `unsupported` for ranks where adapters run in
   * their plain form.
   */
  async adapt(uses: readonly AdapterUse[], ranks: TextRanks = {}): Promise<Adaptation> {
    if (uses.length === 0) return UNADAPTED;
    const session = await this.session.get();
    const { plans: service = inlinePlans, lora } = this.options;
    const options = ranks === 'all' ? { ranks: 'uniform' as const } : ranks;
    if (lora === 'unfused') {
      if ((options.ranks ?? 'uniform') !== 'uniform' || options.plan || options.equalMeanRank) {
        throw new ChunkwiseError('unsupported', {
          field: 'ranks',
          reason: 'adapters in their plain form have all ranks',
        });
      }
      return wholeAdapters(await this.#registry.mix(session, uses));
    }
    const text = (token: number): string => this.tokenizer.decode([token]);
    const { vocabSize } = this.tokenizer;
    return planned({ ...options, session, registry: this.#registry, uses, service, vocabSize, text });
  }
}
