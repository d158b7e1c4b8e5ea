import type { AdapterArena, ArenaAdapter } from '../adapters/arena/adapter-arena.ts';
import type { RampRow } from '../chunking/ramps.ts';
import { MAX_LEVELS, ROW_FOLLOWS_STREAM, ROW_UNITS } from '../kernels/lora-layout.ts';
import type { ActiveLora, LoraBatch } from '../layers/batch.ts';

/** An adapter of a request: run with the level table that `table` stands for. */
export interface MixedAdapter {
  adapter: ArenaAdapter;
  table: string;
  scale: number;
}

/** The adapters of a request, on this session's device. */
export interface AdapterMix {
  adapters: readonly MixedAdapter[];
  /** Instead, where adapters run in their plain form. */
  loras: readonly ActiveLora[];
  /** The same for mixes that compute the same. */
  key: string;
}

export const NO_ADAPTERS: AdapterMix = { adapters: [], loras: [], key: '' };

/** All of an adapter. */
export const FULL_ROW: RampRow = { levelLo: MAX_LEVELS - 1, levelHi: MAX_LEVELS - 1, wLo: 1, wHi: 0 };

/** What a token takes of the adapters of its mix; or, in decoding, what the GPU chooses for its stream. */
export interface TokenDose {
  mix: AdapterMix;
  slot: number;
  row: RampRow | 'stream';
}

const ROW_WORDS = 2 * ROW_UNITS;

/** The batch's adapters and their rows for the arena; undefined where no token has any. */
export function loraBatch(
  arena: AdapterArena,
  tokens: readonly TokenDose[],
): { lora: LoraBatch; rows: Uint32Array<ArrayBuffer> } | undefined {
  const adapters = Math.max(0, ...tokens.map(({ mix }) => mix.adapters.length));
  if (adapters === 0) return undefined;
  const rows = new Uint32Array(tokens.length * adapters * ROW_WORDS);
  const floats = new Float32Array(rows.buffer);
  let rank = 0;
  tokens.forEach(({ mix, slot, row }, token) => {
    mix.adapters.forEach(({ adapter, table, scale }, i) => {
      const at = (token * adapters + i) * ROW_WORDS;
      const { levelLo, levelHi, wLo, wHi } = row === 'stream' ? FULL_ROW : row;
      rows[at] = arena.number(adapter, table) | (levelLo << 16) | (levelHi << 24);
      rows[at + 1] = slot | (row === 'stream' ? ROW_FOLLOWS_STREAM : 0);
      floats[at + 2] = wLo * scale;
      floats[at + 3] = wHi * scale;
      rank = Math.max(rank, adapter.rank);
    });
  });
  return { lora: { arena, adapters, rank }, rows };
}
