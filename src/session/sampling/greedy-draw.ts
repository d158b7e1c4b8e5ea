import { GREEDY } from '../../config/sampling.ts';
import type { DrawRequest } from './draw-request.ts';
import type { Sequence } from '../sequence.ts';

/** The likeliest token, and where the GPU chooses levels the next one. */
export function greedy(sequence: Sequence, position: number): DrawRequest {
  const level = sequence.text?.follow?.options;
  return { sequence, sampling: GREEDY, position, wantsEntropy: level !== undefined, level };
}
