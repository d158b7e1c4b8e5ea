import {
  type AdapterLadder,
  buildAdapterLadder,
  type LadderBuilder,
} from '../../../src/adapters/ladder/adapter-ladder.ts';
import type { LocalEngine } from '../../../src/engine/open-engine.ts';
import type { KvOptions } from '../../../src/cache/kv-options.ts';
import type { AdapterUse, GenerateOptions, RankOptions } from '../../../src/engine/types.ts';
import { loadAdapter, openInNode } from '../engine.ts';

/** How a request is computed. */
interface Mode {
  /** What it is, in few words and in more. */
  brief: string;
  about: string;
  /** Default: fused. */
  lora?: 'unfused';
  /** Without it the base answers. */
  ranks?: RankOptions;
  cache?: KvOptions;
  speculate?: boolean;
  /** Of which mode's mechanism it is the control: the plainest thing of equal cost. */
  controls?: string;
}

/**
 * The rows of the paper's tables. Each mechanism stands alone beside `fused`, so that what it changes is its own; `all` has
 * them together.
 */
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

/** What the others are held against. */
export const BASELINE = 'ordinary' satisfies ModeName;

/** A mode with an engine of its own, so that its memory and its cached texts are its alone. */
export interface OpenMode {
  name: ModeName;
  engine: LocalEngine;
  /** Of the adapter's modules the highest; 0 without one. */
  rank: number;
  adapters: readonly AdapterUse[];
  how: RankOptions & KvOptions;
  /** All of it, as a request has it. */
  request: RankOptions & KvOptions & Pick<GenerateOptions, 'adapters' | 'speculate'>;
}

const ladders = new Map<string, AdapterLadder>();

/** An adapter's ladders are the same in all engines: they are built once. */
const buildLadders: LadderBuilder = async (adapter) => {
  const built = ladders.get(adapter.contentHash) ?? buildAdapterLadder(adapter);
  ladders.set(adapter.contentHash, built);
  return built;
};

/** `adapter`: its folder; it is loaded under its mode's name. */
export async function openMode(name: ModeName, adapter: string, contextLength: number): Promise<OpenMode> {
  const { lora, ranks, cache, speculate = false }: Mode = MODES[name];
  const engine = await openInNode({ contextLength, buildLadders, ...(lora && { lora }) });
  const rank = ranks ? (await loadAdapter(engine, name, adapter)).rank : 0;
  const adapters = ranks ? [{ name, scale: 1 }] : [];
  const how = { ...ranks, ...cache };
  return { name, engine, rank, adapters, how, request: { adapters, ...how, speculate } };
}

/** Opens `names`, hands them over, and disposes of them. */
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
