import type { AdapterArena, ArenaAdapter } from '../adapters/arena/adapter-arena.ts';
import type { RampRow } from '../chunking/ramps.ts';
import { MAX_LEVELS } from '../config/max-levels.ts';
import { NO_LEVEL, ROW_FOLLOWS_STREAM, ROW_UNITS } from '../kernels/lora-layout.ts';
import type { ActiveLora, LoraBatch } from '../layers/batch.ts';

/** An adapter of a request: run with the level table that `table` stands for. */
export interface MixedAdapter {
  adapter: ArenaAdapter;
  table: string;
  scale: number;
  /** The place in the text of the first token that takes it; default: that of the first one. */
  from?: number;
}

/** The adapters of a request, on this session's device. */
export interface AdapterMix {
  adapters: readonly MixedAdapter[];
  /** Instead, where adapters run in their plain form. */
  loras: readonly ActiveLora[];
  /** The same for the same adapters and scales. */
  key: string;
}

export const NO_ADAPTERS: AdapterMix = { adapters: [], loras: [], key: '' };

/** All of an adapter. */
export const FULL_ROW: RampRow = { levelLo: MAX_LEVELS - 1, levelHi: MAX_LEVELS - 1, wLo: 1, wHi: 0 };
/** Nothing of it: the token is computed as without, to the bit. */
const NO_ROW: RampRow = { levelLo: NO_LEVEL, levelHi: NO_LEVEL, wLo: 0, wHi: 0 };

/** What a token takes of the adapters of its mix; or, in decoding, what the GPU chooses for its stream. */
export interface TokenDose {
  mix: AdapterMix;
  slot: number;
  row: RampRow | 'stream';
  /** Its place in the text; default: behind where every adapter begins. */
  position?: number;
}

const ROW_WORDS = 2 * ROW_UNITS;

const takes = ({ position = Infinity }: TokenDose, { from = 0 }: MixedAdapter): boolean => from <= position;

/** The batch's adapters and their rows for the arena; undefined where no token has any. */
export function loraBatch(
  arena: AdapterArena,
  tokens: readonly TokenDose[],
): { lora: LoraBatch; rows: Uint32Array<ArrayBuffer> } | undefined {
  if (!tokens.some((dose) => dose.mix.adapters.some((mixed) => takes(dose, mixed)))) return undefined;
  const adapters = Math.max(...tokens.map(({ mix }) => mix.adapters.length));
  const rows = new Uint32Array(tokens.length * adapters * ROW_WORDS);
  const floats = new Float32Array(rows.buffer);
  let rank = 0;
  tokens.forEach((dose, token) => {
    dose.mix.adapters.forEach((mixed, i) => {
      const { adapter, table, scale } = mixed;
      const at = (token * adapters + i) * ROW_WORDS;
      const row = takes(dose, mixed) ? dose.row : NO_ROW;
      const { levelLo, levelHi, wLo, wHi } = row === 'stream' ? FULL_ROW : row;
      rows[at] = arena.number(adapter, table) | (levelLo << 16) | (levelHi << 24);
      rows[at + 1] = dose.slot | (row === 'stream' ? ROW_FOLLOWS_STREAM : 0);
      floats[at + 2] = wLo * scale;
      floats[at + 3] = wHi * scale;
      rank = Math.max(rank, adapter.rank);
    });
  });
  return { lora: { arena, adapters, rank }, rows };
}
