import type { LevelRule } from '../chunking/chunk-plan.ts';
import type { RampRow } from '../chunking/ramps.ts';
import type { AdaptedSpan } from '../cache/adapted-span.ts';
import type { AdapterMix } from './adapter-mix.ts';
import type { LevelOptions, LevelStart } from './sampling/level-control.ts';

/** A text on its way to the GPU. */
export interface AdaptedText {
  mix: AdapterMix;
  /** What its tokens, and those after it, are computed with. */
  spans: readonly AdaptedSpan[];
  /** Of activated adapters, by name: the place of the first token that takes it; null where the text does not invoke it. */
  invokedAt?: Readonly<Record<string, number | null>>;
  /** Rows of the next tokens up to `end`, each asked for once; none where every token takes the whole adapter. */
  rows(end: number): Promise<RampRow[]>;
  /** Of tokens after the text, as far as a recorded plan says. */
  later: readonly RampRow[];
  /** Of tokens that no plan says anything of: their row, or what the GPU chooses for their stream. */
  decodeRow: RampRow | 'stream';
  /** How the GPU chooses, and where it starts. */
  follow?: { options: LevelOptions; start: LevelStart };
  /** Mean rank of each level, and what levels are; empty without a plan. */
  ladder: readonly number[];
  levels: LevelRule | null;
  /** After the last token. */
  close(): void;
}
