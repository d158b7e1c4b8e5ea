import { mixedBits } from '../config/mixed-bits.ts';
import type { Chunk } from './chunk-plan.ts';

/** Plans to hold the chunkwise one against: they spend the same ranks, but not where the text is hard. */

/** The chunks' levels and lengths together in random order, so that every level covers as many tokens as before. */
export function shuffledChunks(chunks: readonly Chunk[], complexity: readonly number[], seed: number): Chunk[] {
  const random = generator(seed);
  const order = [...chunks];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  let start = 0;
  return order.map(({ level, scale, end: oldEnd, start: oldStart }) => {
    const end = start + oldEnd - oldStart;
    const sum = complexity.slice(start, end).reduce((total, each) => total + each, 0);
    const chunk = { start, end, complexity: sum / (end - start), level, scale };
    start = end;
    return chunk;
  });
}

/** Two neighbouring whole ranks, dealt to the chunks so that their mean over tokens keeps close to `rank`. */
export function equalMeanChunks(chunks: readonly Chunk[], rank: number): { chunks: Chunk[]; ladder: number[] } {
  const low = Math.floor(rank);
  if (low === rank) return { chunks: chunks.map((chunk) => ({ ...chunk, level: 0 })), ladder: [rank] };
  let owed = 0;
  const dealt = chunks.map((chunk) => {
    const length = chunk.end - chunk.start;
    owed += length * (rank - low);
    const level = owed >= length / 2 ? 1 : 0;
    owed -= length * level;
    return { ...chunk, level };
  });
  return { chunks: dealt, ladder: [low, low + 1] };
}

/** Uniform in [0, 1), the same for the same seed everywhere: a counter through murmur3's finaliser. */
function generator(seed: number): () => number {
  let state = Math.imul(seed | 0, 0x9e3779b1);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    return mixedBits(state) / 2 ** 32;
  };
}
