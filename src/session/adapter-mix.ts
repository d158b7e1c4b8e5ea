import type { AdapterArena, ArenaAdapter } from '../adapters/adapter-arena.ts';
import type { AdaptedSpan } from '../cache/cache-page.ts';
import type { LevelRule } from '../chunking/chunk-plan.ts';
import type { RampRow } from '../chunking/ramps.ts';
import { MAX_LEVELS, MAX_SEQUENCES } from '../config/limits.ts';
import type { Device } from '../gpu/device.ts';
import { Readback, type Recorder } from '../gpu/recorder.ts';
import { NO_LEVEL, ROW_FOLLOWS_SEQUENCE, ROW_UNITS } from '../kernels/lora-layout.ts';
import type { ActiveLora, BatchShape, LoraBatch } from '../layers/batch.ts';
import type { LevelOptions, LevelStart } from './sampling/level-control.ts';

/** An adapter of a request. `table` names its level table. */
export interface MixedAdapter {
  adapter: ArenaAdapter;
  table: string;
  scale: number;
  /** Position of the first token that takes it; default: the first of the text. */
  from?: number;
}

/** The adapters of a request, on this session's device. */
export interface AdapterMix {
  adapters: readonly MixedAdapter[];
  /** Takes the place of `adapters` if adapters run in their plain form. */
  loras: readonly ActiveLora[];
  /** Equal for equal adapters and scales. */
  key: string;
}

export const NO_ADAPTERS: AdapterMix = { adapters: [], loras: [], key: '' };

/** All ranks of an adapter. */
export const FULL_ROW: RampRow = { levelLo: MAX_LEVELS - 1, levelHi: MAX_LEVELS - 1, wLo: 1, wHi: 0 };
/** No ranks: the token is computed as without the adapter, to the bit. */
const NO_ROW: RampRow = { levelLo: NO_LEVEL, levelHi: NO_LEVEL, wLo: 0, wHi: 0 };

/** The share of its mix's adapters that a token takes. `sequence`: the row that the GPU chooses for its slot. */
export interface TokenDose {
  mix: AdapterMix;
  slot: number;
  row: RampRow | 'sequence';
  /** Its position in the text; default: after the start of every adapter. */
  position?: number;
}

const ROW_WORDS = 2 * ROW_UNITS;

const takes = ({ position = Infinity }: TokenDose, { from = 0 }: MixedAdapter): boolean => from <= position;

/**
 * The batch's adapters, and its rows for the arena; undefined if no token takes an adapter. Prefill kernels read one adapter
 * at each place of the mixes for a tile of tokens; decode kernels read that of each token.
 */
export function loraBatch(
  arena: AdapterArena,
  tokens: readonly TokenDose[],
  kind: BatchShape['kind'] = 'decode',
): { lora: LoraBatch; rows: Uint32Array<ArrayBuffer> } | undefined {
  if (!tokens.some((dose) => dose.mix.adapters.some((mixed) => takes(dose, mixed)))) return undefined;
  const mixes = [...new Set(tokens.map(({ mix }) => mix))];
  const placed = kind === 'prefill' && mixes.length > 1 ? inSamePlaces(mixes) : undefined;
  const adaptersOf = ({ mix }: TokenDose): readonly PlacedAdapter[] => placed?.get(mix) ?? mix.adapters;
  const adapters = Math.max(...tokens.map((dose) => adaptersOf(dose).length));
  const rows = new Uint32Array(tokens.length * adapters * ROW_WORDS);
  const floats = new Float32Array(rows.buffer);
  let rank = 0;
  tokens.forEach((dose, token) => {
    adaptersOf(dose).forEach((mixed, i) => {
      const { adapter, table, scale } = mixed;
      const at = (token * adapters + i) * ROW_WORDS;
      const row = !mixed.isAbsent && takes(dose, mixed) ? dose.row : NO_ROW;
      const { levelLo, levelHi, wLo, wHi } = row === 'sequence' ? FULL_ROW : row;
      rows[at] = arena.number(adapter, table) | (levelLo << 16) | (levelHi << 24);
      rows[at + 1] = dose.slot | (row === 'sequence' ? ROW_FOLLOWS_SEQUENCE : 0);
      floats[at + 2] = wLo * scale;
      floats[at + 3] = wHi * scale;
      rank = Math.max(rank, adapter.rank);
    });
  });
  return { lora: { arena, adapters, rank }, rows };
}

/** `isAbsent`: the mix does not have this adapter of another one. */
type PlacedAdapter = MixedAdapter & { isAbsent?: boolean };

/** Gives each mix the adapters of all, in the same order. */
function inSamePlaces(mixes: readonly AdapterMix[]): Map<AdapterMix, readonly PlacedAdapter[]> {
  const all: MixedAdapter[] = [];
  const places = mixes.map(({ adapters }) => {
    const own = new Map<number, MixedAdapter>();
    for (const mixed of adapters) {
      const isSame = (other: MixedAdapter, at: number): boolean =>
        other.adapter === mixed.adapter && other.table === mixed.table && !own.has(at);
      const known = all.findIndex(isSame);
      own.set(known < 0 ? all.push(mixed) - 1 : known, mixed);
    }
    return own;
  });
  return new Map(
    mixes.map((mix, i) => [mix, all.map((other, at) => places[i]?.get(at) ?? { ...other, isAbsent: true })]),
  );
}

/** The adapters and ranks of a text. */
export interface AdaptedText {
  mix: AdapterMix;
  /** Adapters of each part of the text, and of the tokens after it. */
  spans: readonly AdaptedSpan[];
  /** Start of each activated adapter, by name; null if the text does not invoke it. */
  invokedAt?: Readonly<Record<string, number | null>>;
  /** Rows of the next tokens up to `end`, each asked for once; empty if every token takes the whole adapter. */
  rows(end: number): Promise<RampRow[]>;
  /** Rows of tokens after the text, as far as a recorded plan has them. */
  later: readonly RampRow[];
  /** Row of a token without a planned one; `sequence`: the row that the GPU chose for the sequence. */
  decodeRow: RampRow | 'sequence';
  /** How the GPU chooses levels, and where it starts. */
  follow?: { options: LevelOptions; start: LevelStart };
  /** Mean rank of each level, and the rule of the levels; empty without a plan. */
  ladder: readonly number[];
  levels: LevelRule | null;
  /** Called after the last token. */
  close(): void;
}

/** Bytes of a slot's counters: components read, and linears. */
const COUNTER_BYTES = 8;

/** A sequence slot, and the adapters of its text. */
interface AdaptedSlot {
  slot: number;
  adapters: AdapterMix;
}

/** Mean ranks that the GPU counts: the components it reads of each token's adapters. */
export class RankCounter {
  readonly #readback: Readback;
  /** Tokens computed since the last reset, by slot. */
  readonly #tokens = new Array<number>(MAX_SEQUENCES).fill(0);

  constructor(
    private readonly device: Device,
    private readonly recorder: Recorder,
    private readonly arena: AdapterArena,
  ) {
    this.#readback = new Readback(device, 'lora counters', COUNTER_BYTES, MAX_SEQUENCES);
  }

  /** Before the first token of a request. */
  reset({ slot }: AdaptedSlot): void {
    this.#tokens[slot] = 0;
    this.device.gpuDevice.queue.writeBuffer(this.arena.counters, slot * COUNTER_BYTES, new Uint32Array(2));
  }

  /** Counts a computed token. */
  count({ slot }: AdaptedSlot): void {
    this.#tokens[slot]!++;
  }

  /** Mean over the tokens since the reset, and the linears that their adapters change; 0 without adapters. Submits. */
  async read({ slot, adapters }: AdaptedSlot): Promise<number> {
    const linears = adapters.adapters.reduce((sum, { adapter }) => sum + adapter.modules.length, 0);
    const products = this.#tokens[slot]! * linears;
    if (products === 0) return 0;
    const bytes = await this.#readback.submit(this.recorder, [
      { buffer: this.arena.counters, offset: slot * COUNTER_BYTES, size: COUNTER_BYTES },
    ]);
    return new Uint32Array(bytes)[0]! / products;
  }
}
