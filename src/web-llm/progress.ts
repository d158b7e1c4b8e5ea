import type { InitProgressCallback } from '@mlc-ai/web-llm';
import type { LoadProgress } from '../api/types.ts';

/** Tells how a model is loaded in web-llm's way: a share from 0 to 1, seconds, and a line to show. */
export function initProgress(tell: InitProgressCallback): (progress: LoadProgress) => void {
  const start = performance.now();
  return ({ phase, bytes, total }) => {
    const timeElapsed = Math.round((performance.now() - start) / 1000);
    const progress = total === 0 ? 0 : bytes / total;
    const share = total === 0 ? '' : `: ${Math.round(bytes / 1e6)} of ${Math.round(total / 1e6)} MB`;
    tell({ progress, timeElapsed, text: `Loading model, ${phase}${share}, ${timeElapsed} s elapsed` });
  };
}
