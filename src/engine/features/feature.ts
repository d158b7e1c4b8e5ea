import type { SampledToken, SampleRequest } from '../../session/sampling/sampler.ts';
import type { Draft } from '../../session/batches.ts';
import type { GenerateEvent } from '../types.ts';

export type TokenEvent = Extract<GenerateEvent, { type: 'token' }>;
export type EndEvent = Extract<GenerateEvent, { type: 'end' }>;

/** A token of an answer, at its position in the text. */
export interface AnswerToken extends SampledToken {
  position: number;
}

/**
 * An extension of the loop for one request: a grammar, drafts, rank levels, log-probabilities, a watch on the cache.
 * The loop calls each hook that a feature has, in the order of the list below. The feature holds its own state.
 */
export interface Feature {
  /** The loop submits at most one step before it reads a token. */
  readonly stepsOneByOne?: boolean;
  /** The loop verifies no drafts for this request. */
  readonly forbidsDrafts?: boolean;
  /** Before the prompt is computed. */
  beforePrompt?(): void;
  /** The prompt is submitted, and the sample after it. */
  afterPrompt?(): void;
  /** Before a sample is recorded: sets its mask, its level, or what is read back with it. */
  beforeSample?(sample: SampleRequest): void;
  /** Whether `draft` is likely to give tokens after the step in flight. The loop then submits no step ahead of it. */
  isDraftLikely?(): boolean | Promise<boolean>;
  /** The loop is about to read this step. */
  beforeRead?(step: Promise<readonly SampledToken[]>): void;
  /** A step gave these tokens; the request publishes them next. */
  afterStep?(tokens: readonly SampledToken[]): void;
  /** Up to `most` tokens to verify after the last one; undefined leaves the draft to the next feature, an empty list forbids one. */
  draft?(most: number): Promise<readonly number[] | undefined>;
  /** Cuts a draft, or adds what its verification needs. */
  beforeVerify?(draft: Draft): void | Promise<void>;
  /** The pages of the sequence may have changed: after a prompt batch, and before a token is published. */
  afterBatch?(): void;
  /** Fields that the feature adds to a token's event. `isEnd`: the token ends the answer. */
  onToken?(token: AnswerToken, isEnd: boolean): Partial<TokenEvent>;
  /** Whether nothing may follow the last token. */
  isComplete?(): Promise<boolean>;
  /** Adds to the last event. */
  onEnd?(event: EndEvent): void | Promise<void>;
  /** The request ends, with or without an error; none of its steps is in flight. */
  onFinish?(): void | Promise<void>;
}
