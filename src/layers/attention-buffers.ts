import type { LayerPages } from '../cache/layer-pages.ts';
import type { StreamProbes } from '../cache/stream-probes.ts';

/** What attention of a layer reads and writes of the cache. */
export interface AttentionBuffers {
  /** Where this layer's pages are. */
  pages: LayerPages;
  /** Entries of the pages of sequences, a region for each stream. */
  table: GPUBuffer;
  /** Entries of a region. */
  slotPages: number;
  /** Copies of pages to write, see quantize-page.ts, and what probing them finds. */
  tasks: GPUBuffer;
  /** What each stream's latest queries were and found. */
  probes: StreamProbes;
  errors: GPUBuffer;
  /** cos and sin of each position: `[position, 2, headDim / 2]`; 1 and 0 in a layer that is not rotated. */
  rope: GPUBuffer;
}
