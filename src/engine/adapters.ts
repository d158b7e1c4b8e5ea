import type { ArenaAdapter } from '../adapters/adapter-arena.ts';
import { type AdapterModules, readAdapter } from '../adapters/adapter-file.ts';
import type { AdapterSource } from '../adapters/adapter-header.ts';
import type { AdapterLadder } from '../adapters/rank-ladder.ts';
import { levelRanks, ranksByRule } from '../adapters/level-ranks.ts';
import { type AdaptedSpan, BASE_SPANS } from '../cache/cache-page.ts';
import { type LevelRule, type Chunk, DEFAULT_THRESHOLDS } from '../chunking/chunk-plan.ts';
import { DEFAULT_RAMPS } from '../chunking/planner.ts';
import { type PlanSettings, planFrom } from '../chunking/prompt-plan.ts';
import type { RampRow } from '../chunking/ramps.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type LoadedLora, loadLora } from '../models/load-lora.ts';
import { type AdapterMix, NO_ADAPTERS, type AdaptedText, FULL_ROW } from '../session/adapter-mix.ts';
import type { Session } from '../session/session.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { LiveSession } from './live-session.ts';
import type { AdapterInfo, AdapterUse, PlanEvent, RankOptions, EngineCoreOptions } from './types.ts';
import { type PlanService, type PlanSession, replay, withUntaken } from './plan-service.ts';

interface Entry {
  ladder: AdapterLadder;
  /** Modules as in the file, for the plain form. */
  plain: AdapterModules | undefined;
  info: AdapterInfo;
  /** Invocation tokens of an activated adapter. */
  invocation: readonly number[] | undefined;
  /** The adapter on the session that used it last. */
  loaded: OnDevice | undefined;
  /** The upload in progress, shared by requests that start together. */
  loading?: { session: Session; done: Promise<OnDevice> } | undefined;
  /** Requests that run or wait with it. */
  uses: number;
}

interface OnDevice {
  session: Session;
  adapter?: ArenaAdapter;
  lora?: LoadedLora;
}

/** How a text takes its adapters; `all`: at full rank. */
export type TextRanks = (RankOptions & { onPlan?: (event: PlanEvent) => void }) | 'all';

/** The adapters of an engine, by name. After a lost device the next use uploads them again. */
export class Adapters {
  readonly #entries = new Map<string, Entry>();

  constructor(
    private readonly live: LiveSession,
    private readonly tokenizer: Tokenizer,
    private readonly options: Pick<EngineCoreOptions, 'lora' | 'buildLadders' | 'plans'>,
  ) {}

  list(): AdapterInfo[] {
    return [...this.#entries.values()].map(({ info }) => info);
  }

  /** Reads and uploads an adapter. Errors: `bad_file`, `unsupported`; `bad_request` when the name is taken. */
  async load(name: string, source: AdapterSource): Promise<AdapterInfo> {
    const { config, names } = (await this.live.get()).plan;
    const adapter = await readAdapter(source, { config, names });
    const { invocation } = adapter;
    if (invocation && this.options.lora === 'unfused') {
      const reason = 'adapters in their plain form run on all tokens of a text';
      throw new ChunkwiseError('unsupported', { file: invocation.file, field: invocation.field, reason });
    }
    const ladder = await this.options.buildLadders(adapter);
    return this.live.use((session) => this.#add(session, name, adapter, ladder));
  }

  /**
   * Applies adapters to texts by a plan. Errors: `bad_request`; `unsupported` for rank options if adapters run in
   * their plain form.
   */
  async adapt(uses: readonly AdapterUse[], ranks: TextRanks = {}): Promise<Adaptation> {
    if (uses.length === 0) return UNADAPTED;
    // Rows of a batch have room for each loaded adapter once.
    const again = uses.find(({ name }, i) => uses.findIndex((other) => other.name === name) < i);
    if (again) throw new ChunkwiseError('bad_request', { field: 'adapter', reason: `${again.name} is named twice` });
    const session = await this.live.get();
    const { plans: service, lora } = this.options;
    const options = ranks === 'all' ? { ranks: 'uniform' as const } : ranks;
    if (lora === 'unfused') {
      if ((options.ranks ?? 'uniform') !== 'uniform' || options.plan || options.equalMeanRank) {
        throw new ChunkwiseError('unsupported', {
          field: 'ranks',
          reason: 'adapters in their plain form have all ranks',
        });
      }
      return wholeAdapters(await this.mix(session, uses));
    }
    const text = (token: number): string => this.tokenizer.decode([token]);
    const { vocabSize } = this.tokenizer;
    return planned({ ...options, session, adapters: this, uses, service, vocabSize, text });
  }

  async #add(session: Session, name: string, adapter: AdapterModules, ladder: AdapterLadder): Promise<AdapterInfo> {
    if (this.#entries.has(name)) {
      throw new ChunkwiseError('bad_request', { field: 'name', reason: `an adapter ${name} is loaded already` });
    }
    const { modules, warnings } = ladder;
    const rank = Math.max(0, ...modules.map((module) => module.rank));
    const spectra = modules.map((module) => ({
      ...{ name: module.name, rank: module.rank },
      singularValues: [...module.singularValues],
    }));
    const { decisionTemperatures } = adapter;
    const invocation = adapter.invocation?.tokens;
    const info = {
      name,
      rank,
      modules: modules.length,
      bytes: 0,
      warnings,
      spectra,
      ...(invocation && { invocationTokens: invocation }),
      ...(decisionTemperatures && { decisionTemperatures }),
    };
    const plain = this.options.lora === 'unfused' ? adapter : undefined;
    const entry: Entry = { ladder, plain, info, invocation, loaded: undefined, uses: 1 }; // unload refuses it while it loads
    this.#entries.set(name, entry);
    try {
      await this.#onDevice(entry, session);
    } catch (error) {
      this.#entries.delete(name);
      throw error;
    }
    entry.uses--;
    return info;
  }

  /** Frees an adapter. Errors: `bad_request` for an unknown name, or one in use. */
  unload(name: string): void {
    const entry = this.#find(name, 'name');
    if (entry.uses > 0) {
      const reason = `${name} is in use by ${entry.uses} requests`;
      throw new ChunkwiseError('bad_request', { field: 'name', reason });
    }
    this.#entries.delete(name);
    const { session, adapter, lora } = entry.loaded ?? {};
    if (!session || session.device.lost() !== undefined) return;
    lora?.destroy();
    if (adapter) session.transformer.arena.remove(adapter);
  }

  /** Keeps adapters from being unloaded until the returned function is called. Errors: `bad_request`. */
  hold(uses: readonly AdapterUse[]): () => void {
    const entries = uses.map(({ name }) => this.#find(name));
    for (const entry of entries) entry.uses++;
    return () => {
      for (const entry of entries) entry.uses--;
    };
  }

  /**
   * The adapters that a text takes: an activated one from the last occurrence of its invocation on, if there is
   * one; others from the start.
   */
  active(uses: readonly AdapterUse[], tokens: readonly number[]): ActiveUse[] {
    return uses.flatMap((use) => {
      const { invocation } = this.#find(use.name);
      const from = invocation ? invokedAt(tokens, invocation) : 0;
      return from === undefined ? [] : { ...use, from };
    });
  }

  /** Start of each activated adapter in a text, by name; undefined without activated adapters. */
  invokedAt(uses: readonly AdapterUse[], active: readonly ActiveUse[]): Record<string, number | null> | undefined {
    const activated = uses.filter(({ name }) => this.#find(name).invocation);
    if (activated.length === 0) return undefined;
    return Object.fromEntries(
      activated.map(({ name }) => [name, active.find((use) => use.name === name)?.from ?? null]),
    );
  }

  /** Key of these adapters by content and scale: the same in another visit, under any name. */
  key(uses: readonly AdapterUse[]): string {
    return uses.map(({ name, scale }) => `${this.#find(name).ladder.contentHash}×${scale}`).join('+');
  }

  /** Mean rank of each level over all linears of the adapters. Errors: `bad_request`. */
  ladder(uses: readonly AdapterUse[], rule: LevelRule | null): number[] {
    const all = uses.map(({ name }) => {
      const { modules } = this.#find(name).ladder;
      return { modules: modules.length, meanRanks: ranksByRule(modules, rule).meanRanks };
    });
    const modules = all.reduce((sum, each) => sum + each.modules, 0);
    const sumOf = (level: number) => all.reduce((sum, each) => sum + each.modules * (each.meanRanks[level] ?? 0), 0);
    return (all[0]?.meanRanks ?? []).map((_, level) => sumOf(level) / Math.max(1, modules));
  }

  /** The adapters on `session`, with their default rank levels. Errors: `bad_request`. */
  async mix(session: Session, uses: readonly (AdapterUse & Partial<ActiveUse>)[], table = ''): Promise<AdapterMix> {
    if (uses.length === 0) return NO_ADAPTERS;
    const loras = [];
    const adapters = [];
    for (const { name, scale, from } of uses) {
      const { lora, adapter } = await this.#onDevice(this.#find(name), session);
      if (lora) loras.push({ layers: lora.layers, scale });
      if (adapter) adapters.push({ adapter, table, scale, from });
    }
    return { loras, adapters, key: this.key(uses) };
  }

  /**
   * The same with rank levels by `rule`, held until `release` is called. Errors: those of `mix`; `over_limit` if the
   * device has no room for the ranks of these levels.
   */
  async mixByRule(session: Session, uses: readonly ActiveUse[], rule: LevelRule | null) {
    const table = rule ? JSON.stringify(rule) : '';
    const mix = await this.mix(session, uses, table);
    const {
      device,
      transformer: { arena },
    } = session;
    const before = arena.buffersIfAny;
    const held: ArenaAdapter[] = [];
    const release = (): void => {
      for (const adapter of held.splice(0)) arena.release(adapter, table);
    };
    try {
      for (const [i, { adapter }] of mix.adapters.entries()) {
        const bytes = device.buffers.report().adapters;
        arena.hold(adapter, table, () => ranksByRule(adapter.modules, rule).ranks);
        held.push(adapter);
        this.#find(uses[i]!.name).info.bytes += device.buffers.report().adapters - bytes;
      }
      if (arena.buffersIfAny !== before) await session.bindAdapters();
    } catch (error) {
      release();
      throw error;
    }
    return { mix, release };
  }

  #find(name: string, field = 'adapter'): Entry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    const known = [...this.#entries.keys()].join(', ') || 'none';
    const reason = `no adapter is loaded as ${JSON.stringify(name)}; these are: ${known}`;
    throw new ChunkwiseError('bad_request', { field, reason });
  }

  async #onDevice(entry: Entry, session: Session): Promise<OnDevice> {
    if (entry.loaded?.session === session) return entry.loaded;
    if (entry.loading?.session !== session) entry.loading = { session, done: this.#upload(entry, session) };
    try {
      return (entry.loaded = await entry.loading.done);
    } finally {
      entry.loading = undefined;
    }
  }

  async #upload({ plain, ladder, info }: Entry, session: Session): Promise<OnDevice> {
    const { device, transformer, recorder } = session;
    const before = device.buffers.report().adapters;
    const tellBytes = (): void => void (info.bytes = device.buffers.report().adapters - before);
    if (plain) {
      const lora = await loadLora(device, recorder, transformer, plain.modules);
      tellBytes();
      try {
        await session.checkPlainAdapters();
      } catch (error) {
        if (device.lost() === undefined) lora.destroy();
        throw error;
      }
      return { session, lora };
    }
    const adapter = transformer.arena.add(ladder.modules, levelRanks(ladder.modules).ranks);
    tellBytes();
    try {
      await session.bindAdapters();
      await session.checkAdapters();
    } catch (error) {
      if (device.lost() === undefined) transformer.arena.remove(adapter); // a lost device frees everything
      throw error;
    }
    return { session, adapter };
  }
}

/** An adapter that a text takes from token `from` on. */
export interface ActiveUse extends AdapterUse {
  from: number;
}

/**
 * Start of the last occurrence of `invocation` in a text; undefined if there is none (PEFT 0.21,
 * tuners/lora/variants.py, calculate_alora_offsets).
 */
export function invokedAt(tokens: readonly number[], invocation: readonly number[]): number | undefined {
  for (let start = tokens.length - invocation.length; start >= 0; start--) {
    if (invocation.every((token, i) => tokens[start + i] === token)) return start;
  }
  return undefined;
}

/**
 * The adapters of each part of a text: the base alone at first, then all adapters that have started. `keyOf`: key of
 * some adapters.
 */
export function spansOf(active: readonly ActiveUse[], keyOf: (uses: readonly AdapterUse[]) => string): AdaptedSpan[] {
  const starts = [...new Set([0, ...active.map(({ from }) => from)])].sort((a, b) => a - b);
  return starts.map((from) => {
    const uses = active.filter((use) => use.from <= from);
    return { from, key: uses.length === 0 ? '' : keyOf(uses) };
  });
}

/** How the tokens of a request take its adapters. */
export interface Adaptation {
  /** The adapters of each part of a text: it reuses a cached prefix as far as both agree. */
  spans(tokens: readonly number[]): readonly AdaptedSpan[];
  /** Plans `tokens`; those before `from` are cached. Errors: `bad_request`, `scheduler_lost`. */
  begin(tokens: readonly number[], from: number): Promise<AdaptedText>;
}

const NO_PLAN = {
  rows: async () => [],
  later: [],
  decodeRow: FULL_ROW,
  ladder: [],
  levels: null,
  close: () => undefined,
};

/** `mix` for every token, without a plan. */
const unplanned = (mix: AdapterMix, spans: readonly AdaptedSpan[]): Adaptation => ({
  spans: () => spans,
  begin: async () => ({ mix, spans, ...NO_PLAN }),
});

export const UNADAPTED: Adaptation = unplanned(NO_ADAPTERS, BASE_SPANS);

/** All of the adapters for every token, without a plan: plain adapters have no rank levels. */
export const wholeAdapters = (mix: AdapterMix): Adaptation => unplanned(mix, [{ from: 0, key: mix.key }]);

export interface PlanningOptions extends RankOptions {
  session: Session;
  adapters: Adapters;
  uses: readonly AdapterUse[];
  service: PlanService;
  vocabSize: number;
  /** Text of a token. */
  text: (token: number) => string;
  onPlan?: ((event: PlanEvent) => void) | undefined;
}

/** Adapters whose ranks follow a plan. */
export function planned(options: PlanningOptions): Adaptation {
  const { session, adapters, uses, plan, onPlan } = options;
  const settings = settingsOf(options);
  const isChunkwise = !plan && (options.ranks ?? 'chunkwise') === 'chunkwise';
  // Two recorded plans need not agree after their common start.
  const how = plan ? `plan ${nextPlan++}` : JSON.stringify(settings);
  const spans = (active: readonly ActiveUse[]): AdaptedSpan[] =>
    spansOf(active, (some) => `${adapters.key(some)} ${adapters.ladder(some, settings.levels ?? null).join()} ${how}`);
  /** Tokens replayed so far: consecutive texts follow one recorded plan. */
  let replayed = 0;
  return {
    spans: (tokens) => spans(adapters.active(uses, tokens)),
    async begin(tokens, from) {
      const recorded = plan && planFrom(plan, replayed);
      replayed += tokens.length;
      const active = adapters.active(uses, tokens);
      const told = { spans: spans(active), invokedAt: adapters.invokedAt(uses, active) };
      if (active.length === 0) return { mix: NO_ADAPTERS, ...NO_PLAN, ...told };
      const made = recorded
        ? replay(recorded, tokens, from)
        : await makePlan(options, settings, active, { tokens, from });
      const { levels } = made;
      const ladder = adapters.ladder(active, levels);
      const { mix, release } = await adapters.mixByRule(session, active, levels).catch((error: unknown) => {
        made.close();
        throw error;
      });
      const rampWidth = options.rampWidth ?? DEFAULT_RAMPS.rampWidth;
      // An answer starts at the highest level that thresholds separate.
      const follow = { options: { ...FOLLOW, rampWidth }, start: { level: FOLLOW.thresholds.length, complexity: 1 } };
      return {
        ...{ mix, ...told, ladder, levels },
        ...(isChunkwise ? { decodeRow: 'sequence', follow } : { decodeRow: topRow(ladder) }),
        later: recorded?.table.slice(tokens.length) ?? [],
        async rows(end) {
          const part = await made.part(end);
          const meanRank = ({ level, scale }: Chunk): number =>
            scale === 0 ? 0 : (ladder[level] ?? ladder.at(-1) ?? 0);
          const chunks = part.chunks.map((chunk) => ({ ...chunk, meanRank: meanRank(chunk) }));
          onPlan?.({ ...part, chunks, ladder, levels, texts: part.tokens.map(options.text) });
          return part.rows;
        },
        close() {
          made.close();
          release();
        },
      };
    },
  };
}

/** Plans a text from the first token that takes an adapter. Errors: those of `PlanService`. */
async function makePlan(
  { adapters, service, vocabSize, text }: PlanningOptions,
  settings: PlanSettings,
  active: readonly ActiveUse[],
  { tokens, from }: { tokens: readonly number[]; from: number },
): Promise<PlanSession> {
  const first = active.reduce((least, use) => Math.min(least, use.from), Infinity);
  const taking = tokens.slice(first);
  const plan = await service.begin({
    ...{ tokens: taking, from: Math.max(0, from - first), vocabSize },
    texts: new Map([...new Set(taking)].map((token) => [token, text(token)])),
    options: { ...settings, ladder: adapters.ladder(active, settings.levels ?? null) },
  });
  return withUntaken(plan, tokens.slice(0, first), from);
}

let nextPlan = 1;

/** Whether the texts of a key follow a recorded plan: no later request has that key. */
export const followsRecordedPlan = (key: string): boolean => / plan \d+$/.test(key);

/** Decoded levels follow the model's smoothed entropy: one certain token in hard text does not lower the level. */
export const FOLLOW = { thresholds: DEFAULT_THRESHOLDS, hysteresis: 0.03, smoothing: 0.25 };

const topRow = ({ length }: readonly number[]): RampRow => ({
  levelLo: length - 1,
  levelHi: length - 1,
  wLo: 1,
  wHi: 0,
});

/** Settings of the planner, without the ladder. */
export function settingsOf(options: RankOptions): PlanSettings {
  const { ranks, estimator, equalMeanRank, rankErrorBudget, chunks, rampWidth, planSeed } = options;
  // All ranks lose nothing. An adapter's default levels may have fewer.
  const budget = ranks === 'uniform' && !equalMeanRank ? 0 : rankErrorBudget;
  const levels: LevelRule | null = budget === undefined ? null : { rankErrorBudget: budget };
  if (equalMeanRank && ranks !== 'uniform') {
    throw new ChunkwiseError('bad_request', { field: 'equalMeanRank', reason: 'is only allowed with uniform ranks' });
  }
  return {
    levels,
    ...(ranks !== undefined && { ranks }),
    ...(estimator !== undefined && { estimator }),
    ...(equalMeanRank !== undefined && { equalMeanRank }),
    ...(chunks && { chunker: chunks }),
    ...(rampWidth !== undefined && { ramps: { rampWidth } }),
    ...(planSeed !== undefined && { seed: planSeed }),
  };
}
