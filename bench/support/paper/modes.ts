import { type AdapterLadder, buildAdapterLadder, type LadderBuilder } from '../../../src/adapters/rank-ladder.ts';
import type { LocalEngine } from '../../../src/engine/engine.ts';
import type { KvOptions } from '../../../src/cache/policy.ts';
import type { AdapterUse, GenerateOptions, RankOptions } from '../../../src/engine/types.ts';
import { loadAdapter, openInNode } from '../engine.ts';

/** Configuration of a request. */
interface Mode {
  /** Short and long description. */
  brief: string;
  about: string;
  /** Default: fused. */
  lora?: 'unfused';
  /** Without ranks the base model answers. */
  ranks?: RankOptions;
  cache?: KvOptions;
  speculate?: boolean;
  /** Mode whose mechanism it controls: the simplest variant of equal cost. */
  controls?: string;
}

/** Rows of the paper's tables. Each mechanism is compared with `fused` alone; `all` combines them. */
export const MODES = {
  base: { brief: 'base', about: 'without an adapter' },
  ordinary: {
    brief: 'ordinary LoRA',
    about: 'ordinary LoRA: unfused, all ranks, f16 cache',
    lora: 'unfused',
    ranks: {},
  },
  fused: { brief: 'fused', about: 'fused, all ranks, f16 cache', ranks: { ranks: 'uniform' } },
  ranks: { brief: '+ ranks', about: 'fused + ranks by chunk', ranks: { ranks: 'chunkwise' } },
  oneRank: {
    brief: 'one rank',
    about: 'one rank of equal mean',
    ranks: { ranks: 'uniform', equalMeanRank: true },
    controls: 'ranks',
  },
  shuffled: { brief: 'shuffled', about: 'the levels in random order', ranks: { ranks: 'shuffled' }, controls: 'ranks' },
  cache: { brief: '+ cache', about: 'fused + cache by policy', ranks: { ranks: 'uniform' }, cache: { kv: 'policy' } },
  q4: { brief: 'q4', about: 'q4 everywhere', ranks: { ranks: 'uniform' }, cache: { kv: 'q4' }, controls: 'cache' },
  speculation: {
    brief: '+ speculation',
    about: 'fused + speculation, f16 cache',
    ranks: { ranks: 'uniform' },
    speculate: true,
  },
  all: { brief: 'all', about: 'all together', ranks: { ranks: 'chunkwise' }, cache: { kv: 'policy' }, speculate: true },
} satisfies Record<string, Mode>;

export type ModeName = keyof typeof MODES;
export const MODE_NAMES = Object.keys(MODES) as ModeName[];

/** The baseline. */
export const BASELINE = 'ordinary' satisfies ModeName;

/** A mode with its own engine, so that memory and prefix cache are separate. */
export interface OpenMode {
  name: ModeName;
  engine: LocalEngine;
  /** Highest rank of the adapter's modules; 0 without one. */
  rank: number;
  adapters: readonly AdapterUse[];
  how: RankOptions & KvOptions;
  /** All options of the request. */
  request: RankOptions & KvOptions & Pick<GenerateOptions, 'adapters' | 'speculate'>;
}

const ladders = new Map<string, AdapterLadder>();

/** Ladders are equal in all engines and built once. */
const buildLadders: LadderBuilder = async (adapter) => {
  const built = ladders.get(adapter.contentHash) ?? buildAdapterLadder(adapter);
  ladders.set(adapter.contentHash, built);
  return built;
};

/** `adapter`: its folder; loaded under its mode's name. */
export async function openMode(name: ModeName, adapter: string, contextLength: number): Promise<OpenMode> {
  const { lora, ranks, cache, speculate = false }: Mode = MODES[name];
  const engine = await openInNode({ contextLength, buildLadders, ...(lora && { lora }) });
  const rank = ranks ? (await loadAdapter(engine, name, adapter)).rank : 0;
  const adapters = ranks ? [{ name, scale: 1 }] : [];
  const how = { ...ranks, ...cache };
  return { name, engine, rank, adapters, how, request: { adapters, ...how, speculate } };
}

/** Opens `names`, passes them to `use`, and disposes of them. */
export async function withModes<T>(
  names: readonly ModeName[],
  adapter: string,
  contextLength: number,
  use: (modes: readonly OpenMode[]) => Promise<T>,
): Promise<T> {
  const modes: OpenMode[] = [];
  try {
    for (const name of names) modes.push(await openMode(name, adapter, contextLength));
    return await use(modes);
  } finally {
    for (const { engine } of modes) engine.dispose();
  }
}
