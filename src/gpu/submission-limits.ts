/** How much a device is given before it is heard of. */
export interface SubmissionLimits {
  /** Dispatches of decode steps that are asked for ahead of what is read; a step is asked for in any case. */
  inFlight: number;
  /** Dispatches of a submission. */
  submission: number;
}

/** Some 40 steps of a model of 1B, twenty of one of 135M: a tenth of a second and more of both. */
export const USUAL_LIMITS: SubmissionLimits = { inFlight: 4096, submission: Infinity };

/** Where browsers end a page whose queue is long (llama.cpp #21533), as on telephones of Apple. */
export const PHONE_LIMITS: SubmissionLimits = { inFlight: 512, submission: 64 };
