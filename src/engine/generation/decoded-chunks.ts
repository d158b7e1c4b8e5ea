import { entropyComplexity } from '../../chunking/complexity.ts';
import type { RampRow } from '../../chunking/ramps.ts';
import type { AdaptedText } from '../../session/adapted-text.ts';
import type { PlanEvent, TokenRank } from '../types.ts';

/** The chunks of an answer: tokens of one level that follow each other, as the GPU chose or a plan said. */
export class DecodedChunks {
  #start = 0;
  #tokens: number[] = [];
  #rows: RampRow[] = [];
  #complexity: number[] = [];

  constructor(
    private readonly text: AdaptedText,
    private readonly onPlan: ((event: PlanEvent) => void) | undefined,
    /** The text of a token. */
    private readonly textOf: (token: number) => string,
  ) {}

  /** Takes a token at `position`; `entropy`: of what it was drawn from. Tells of the chunk before, where it ended. */
  push(token: number, position: number, row: RampRow, entropy = 0): TokenRank {
    const level = row.levelHi;
    if (this.#rows.length > 0 && this.#rows[0]?.levelHi !== level) this.finish();
    if (this.#rows.length === 0) this.#start = position;
    const complexity = entropyComplexity(entropy);
    this.#tokens.push(token);
    this.#rows.push(row);
    this.#complexity.push(complexity);
    return { level, meanRank: this.#meanRank(level), complexity };
  }

  finish(): void {
    const [start, tokens, rows, complexity] = [this.#start, this.#tokens, this.#rows, this.#complexity];
    [this.#tokens, this.#rows, this.#complexity] = [[], [], []];
    const level = rows[0]?.levelHi;
    if (level === undefined) return;
    const end = start + rows.length;
    const mean = complexity.reduce((sum, each) => sum + each, 0) / rows.length;
    const chunk = { start, end, complexity: mean, level, scale: 1, meanRank: this.#meanRank(level) };
    const { ladder, levels } = this.text;
    const texts = tokens.map(this.textOf);
    this.onPlan?.({ start, end, tokens, texts, complexity, rows, chunks: [chunk], ladder: [...ladder], levels });
  }

  #meanRank(level: number): number {
    const { ladder } = this.text;
    return ladder[level] ?? ladder.at(-1) ?? 0;
  }
}
