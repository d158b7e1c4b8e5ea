import type { RampRow } from '../../chunking/ramps.ts';
import type { Sequence } from '../sequence.ts';
import type { LevelOptions } from './level-control.ts';
import type { SamplerInput } from './sampler.ts';

/** A draw that goes on a sequence. */
export interface DrawRequest extends Omit<SamplerInput, 'slot'> {
  sequence: Sequence;
  /**
   * Known later where the token before must be read first: the step is computed all the same, and only its draw waits.
   * Undefined: none may be drawn, and the step is thrown away.
   */
  allowedLater?: Promise<Uint32Array<ArrayBuffer> | undefined> | undefined;
  /** Where the GPU chooses the level of the token drawn, by this. */
  level?: LevelOptions | undefined;
  /** Reads the raw logits back. */
  wantsLogits?: boolean;
}

/** What a step took of the submissions that computed and drew it, shared out among the tokens of each. */
export interface StepCost {
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
}

export interface DrawnToken extends StepCost {
  token: number;
  /** Where it was wanted. */
  entropy: number | undefined;
  /** `[vocabSize]`: of the model, before what the sampler makes of them; where they were wanted. */
  logits?: Float32Array | undefined;
  /** What it takes of the adapters, where the GPU chose. */
  row?: RampRow;
  /** Of a token that a draft was verified with: how the GPU would choose the next row. */
  levelState?: ArrayBuffer;
}

/** A step that is computed, and its token where that is drawn already. */
export type StepResult = DrawnToken | StepCost;
