import type { PlannedPart } from './prompt-plan.ts';
import type { RampRow } from './ramps.ts';

const NOTHING: RampRow = { levelLo: 0, levelHi: 0, wLo: 0, wHi: 0 };

/**
 * The part from `start` to `end` of tokens that take nothing of an adapter: a chunk whose scale is 0. `isFirst`: the chunk
 * stands in it.
 */
export function untakenPart(tokens: readonly number[], start: number, end: number, isFirst: boolean): PlannedPart {
  const taken = tokens.slice(start, end);
  return {
    ...{ start, end, tokens: taken, complexity: taken.map(() => 0), rows: taken.map(() => NOTHING) },
    chunks: isFirst ? [{ start: 0, end: tokens.length, complexity: 0, level: 0, scale: 0 }] : [],
  };
}

/** A part of a text that lies `by` tokens further on in another one. */
export function movedPart({ start, end, chunks, ...part }: PlannedPart, by: number): PlannedPart {
  const moved = chunks.map((chunk) => ({ ...chunk, start: chunk.start + by, end: chunk.end + by }));
  return { ...part, start: start + by, end: end + by, chunks: moved };
}

/** Two parts of which the second follows the first. */
export function joinedParts(first: PlannedPart, second: PlannedPart): PlannedPart {
  return {
    ...{ start: first.start, end: second.end },
    tokens: [...first.tokens, ...second.tokens],
    complexity: [...first.complexity, ...second.complexity],
    rows: [...first.rows, ...second.rows],
    chunks: [...first.chunks, ...second.chunks],
  };
}
