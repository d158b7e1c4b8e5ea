import { ChunkwiseError, throwIfAborted } from '../errors/chunkwise-error.ts';
import type { Draft } from '../session/batches.ts';
import type { SampledToken, SampleRequest, StepResult } from '../session/sampling/sampler.ts';
import type { Sequence } from '../session/sequence.ts';
import type { Session } from '../session/session.ts';
import type { AsyncQueue } from './async-queue.ts';
import type { AnswerToken, EndEvent, TokenEvent } from './features/feature.ts';
import { type GenerateRequest, RunningRequest } from './running-request.ts';
import type { FinishReason, GenerateEvent } from './types.ts';

/** A step that a sequence waits for. */
interface WaitingStep {
  sample: SampleRequest;
  resolve: (sampled: SampledToken) => void;
  reject: (error: unknown) => void;
}

/** A sequence that decodes. */
interface Decoding {
  /** Its steps that are not submitted, next first. */
  waiting: WaitingStep[];
  /** A batch went without it: no batch waits for it until it asks for a step again. */
  isSlow: boolean;
  /** The forward pass of its last step is submitted, and the sample waits for a mask. */
  isHeld: boolean;
}

/**
 * The loop of a session. Admitted requests run side by side; each goes through
 *
 *   prefill   prompt batches, and the sample after the last one
 *   step      asks for step N + 1, then reads step N
 *   publish   tokens → events → the request's queue
 *
 * until it ends. The steps that requests ask for meet in
 *
 *   batch     one step of every sequence that decodes
 *   forward   submits the forward pass of a batch, and its samples
 *   sample    submits a sample that waited for its mask
 *
 * A prompt batch and a decode batch are submitted in the order in which they are ready. Features join at the hooks of
 * `Feature`.
 */
export class Loop {
  readonly #decoding = new Map<Sequence, Decoding>();
  /** Batches whose results have not arrived. */
  #inFlight = 0;

  constructor(private readonly session: Session) {}

  /** Runs an admitted request to its end. Errors: `context_overflow`, `aborted`, `device_lost`, `scheduler_lost`. */
  async run(admitted: GenerateRequest, queue: AsyncQueue<GenerateEvent>): Promise<void> {
    const request = new RunningRequest(this.session, admitted);
    let end: EndEvent;
    try {
      await request.begin();
      await this.#prefill(request);
      let finishReason: FinishReason | undefined;
      while (!finishReason) {
        const tokens = await this.#step(request);
        finishReason = await this.#publish(request, tokens, queue);
      }
      this.leave(request.sequence);
      end = await request.end(finishReason);
    } finally {
      this.leave(request.sequence);
      await request.finish();
    }
    await queue.push(end);
  }

  /** Computes the tokens of the prompt that are not cached, and samples the first token. */
  async #prefill(request: RunningRequest): Promise<void> {
    const { session } = this;
    const { sequence, prompt, cachedTokens, features } = request;
    const { sampling, signal } = request.request.options;
    session.samples.sampler.begin(sequence.slot, sampling, prompt);
    for (const feature of features) feature.beforePrompt?.();
    const rest = prompt.slice(cachedTokens);
    const onBatch = (start: number, length: number): void => {
      for (const feature of features) feature.afterBatch?.();
      if (start + length === rest.length) request.submit(session.batches.sample(length, request.nextSample()));
    };
    await session.prefill(sequence, rest, onBatch, signal);
    for (const feature of features) feature.afterPrompt?.();
  }

  /**
   * Asks for step N + 1, then reads step N: the GPU computes while the result travels. If a draft is likely, reads step
   * N first, and has the next step verify the draft. Returns the tokens of step N: none after the last one, several if a
   * draft was right.
   */
  async #step(request: RunningRequest): Promise<readonly SampledToken[]> {
    const { sequence, features } = request;
    const step = request.steps.shift();
    if (!step) return [];
    const isDraftLikely = request.mayVerify && (await this.#isDraftLikely(request));
    for (const feature of features) feature.beforeRead?.(step);
    if (!request.isVerifying && !isDraftLikely) this.#goAhead(request);
    request.isVerifying = false;
    const tokens = await step.catch((error: unknown) => {
      if (request.published > 0) sequence.tokens.pop(); // this step was to compute it
      throw error;
    });
    request.submitted += tokens.length - 1;
    for (const { token } of tokens) request.answer.push(token);
    for (const feature of features) feature.afterStep?.(tokens);
    if (request.steps.length === 0) await this.#draftOrGoAhead(request);
    return tokens;
  }

  async #isDraftLikely({ sequence, features }: RunningRequest): Promise<boolean> {
    for (const feature of features) {
      const isLikely = feature.isDraftLikely?.();
      if (typeof isLikely === 'object' ? await isLikely : isLikely) return this.#isAlone(sequence);
    }
    return false;
  }

  /** Asks for steps up to the request's limit, or until enough are in flight to hide the latency of results. */
  #goAhead(request: RunningRequest): void {
    const { steps, limit, maxStepsAhead } = request;
    while (request.submitted < limit && steps.length < maxStepsAhead) request.submit(this.ask(request.nextSample()));
  }

  /** No step is in flight: verifies a draft of the tokens after the last one, or goes ahead. */
  async #draftOrGoAhead(request: RunningRequest): Promise<void> {
    const { session } = this;
    const { sequence, prompt, limit, submitted } = request;
    const first = prompt.length + submitted - 1; // sampled, and not computed
    const most = Math.min(limit - submitted, session.pageChanges.tokensAtOnce(sequence, first)) - 1;
    const draft =
      most > 0 && request.mayVerify && this.#isAlone(sequence) ? await this.#draft(request, most) : undefined;
    if (!draft) return this.#goAhead(request);
    const sample = { ...request.nextSample(), allowed: undefined, allowedLater: undefined };
    request.isVerifying = true;
    request.submit(session.verify(sample, draft));
  }

  /** The draft of the first feature that has one. */
  async #draft({ features, prompt, answer }: RunningRequest, most: number): Promise<Draft | undefined> {
    for (const feature of features) {
      const tokens = await feature.draft?.(most);
      if (!tokens) continue;
      const draft: Draft = { tokens, text: { prompt, answer } };
      if (tokens.length > 0) for (const other of features) await other.beforeVerify?.(draft);
      return draft.tokens.length > 0 ? draft : undefined;
    }
    return undefined;
  }

  /** Pushes an event for each token. Returns why the answer ends, once it does. */
  async #publish(
    request: RunningRequest,
    tokens: readonly SampledToken[],
    queue: AsyncQueue<GenerateEvent>,
  ): Promise<FinishReason | undefined> {
    const { sequence, features, text, meter } = request;
    const { tokenizer, options } = request.request;
    for (const [i, sampled] of tokens.entries()) {
      throwIfAborted(options.signal);
      for (const feature of features) feature.afterBatch?.();
      const placed = request.place(sampled);
      const { token, position, entropy } = placed;
      const isEnd = tokenizer.eosIds.has(token);
      const piece = isEnd ? '' : text.push(token);
      const hasMore = i + 1 < tokens.length;
      const isLast = isEnd || text.stopped || (!hasMore && (await isComplete(request)));
      await queue.push({
        type: 'token',
        token,
        text: piece,
        ms: meter.push(sampled, tokens.length),
        contextUsed: sequence.placeOf(position + 1),
        ...(options.wantsEntropy && entropy !== undefined && { entropy }),
        ...fieldsOf(request, placed, isEnd),
      });
      throwIfAborted(options.signal);
      if (isLast) return 'stop';
      // Its keys and values are in the cache once the next token is read.
      if (hasMore || request.steps.length > 0) sequence.tokens.push(token);
    }
    return tokens.length === 0 ? 'length' : undefined;
  }

  /** Whether no other sequence decodes. Steps that sequences share compute one token of each. */
  #isAlone(sequence: Sequence): boolean {
    return [...this.#decoding.keys()].every((other) => other === sequence);
  }

  /** Asks for a step of a sequence. Errors: those of the step; `aborted` when the sequence leaves first. */
  ask(sample: SampleRequest): Promise<SampledToken> {
    const decoding = this.#decoding.get(sample.sequence) ?? { waiting: [], isSlow: false, isHeld: false };
    this.#decoding.set(sample.sequence, decoding);
    decoding.isSlow = false;
    return new Promise((resolve, reject) => {
      decoding.waiting.push({ sample, resolve, reject });
      this.#submitBatches();
    });
  }

  /** A sequence decodes no more: drops its steps that are not submitted. */
  leave(sequence: Sequence): void {
    const waiting = this.#decoding.get(sequence)?.waiting ?? [];
    this.#decoding.delete(sequence);
    for (const { reject } of waiting) reject(new ChunkwiseError('aborted', { reason: 'the request ended' }));
    this.#submitBatches();
  }

  /** Runs whenever a sequence asks for a step or leaves, a mask is known, or results arrive. */
  #submitBatches(): void {
    for (let batch = this.#batch(); batch.length > 0; batch = this.#batch()) this.#forward(batch);
  }

  /**
   * The next step of every sequence that decodes, once all have asked for one; when no batch is in flight, of those that
   * have: a slow reader delays nobody. Empty while a batch has to wait.
   */
  #batch(): WaitingStep[] {
    const sequences = [...this.#decoding.values()];
    const isIncomplete = sequences.some(({ waiting, isSlow, isHeld }) => isHeld || (waiting.length === 0 && !isSlow));
    if (isIncomplete && this.#inFlight > 0) return [];
    const batch: WaitingStep[] = [];
    for (const decoding of sequences) {
      if (decoding.isHeld) continue;
      const next = decoding.waiting.shift();
      if (next) batch.push(next);
      else decoding.isSlow = true;
    }
    return batch;
  }

  /** Submits a batch, and hands each sequence its result. */
  #forward(batch: readonly WaitingStep[]): void {
    const { session } = this;
    this.#inFlight++;
    const step = session.batches.decode(batch.map(({ sample }) => sample));
    step.then(
      (all) => session.stepsAhead.arrived(this.#inFlight > 1, dispatchesOf(all)),
      () => undefined,
    );
    const results = batch.map(async ({ sample }, i): Promise<SampledToken> => {
      const held = sample.allowedLater && this.#sample(sample, sample.allowedLater);
      const [computed, sampled] = await Promise.all([step.then((all) => all[i] as SampledToken), held]);
      if (!sampled) return computed;
      return { ...sampled, dispatchesPerToken: computed.dispatchesPerToken + sampled.dispatchesPerToken };
    });
    results.forEach((result, i) => void result.then(batch[i]?.resolve, batch[i]?.reject));
    void Promise.allSettled(results).then(() => {
      this.#inFlight--;
      this.#submitBatches();
    });
  }

  /** Samples from the held logits of a step once the mask is known. Errors: `aborted` if the mask is undefined, or the sequence has left. */
  async #sample(sample: SampleRequest, mask: NonNullable<SampleRequest['allowedLater']>): Promise<SampledToken> {
    const { session } = this;
    const { sequence } = sample;
    const decoding = this.#decoding.get(sequence) as Decoding; // which asked for this step
    decoding.isHeld = true;
    let sampled: Promise<SampledToken>;
    try {
      const allowed = await mask;
      await session.batches.heldStepOf(sequence);
      if (!allowed || this.#decoding.get(sequence) !== decoding)
        throw new ChunkwiseError('aborted', { reason: 'the request ended' });
      sampled = session.batches.sampleHeld({ ...sample, allowed, allowedLater: undefined }); // submits
    } finally {
      decoding.isHeld = false;
      this.#submitBatches();
    }
    return sampled;
  }
}

/** The fields that features add to the event of a token. */
function fieldsOf({ features }: RunningRequest, token: AnswerToken, isEnd: boolean): Partial<TokenEvent> {
  let fields: Partial<TokenEvent> = {};
  for (const feature of features) fields = { ...fields, ...feature.onToken?.(token, isEnd) };
  return fields;
}

async function isComplete({ features }: RunningRequest): Promise<boolean> {
  for (const feature of features) if (await feature.isComplete?.()) return true;
  return false;
}

const dispatchesOf = (results: readonly StepResult[]): number =>
  results.reduce((sum, { dispatchesPerToken }) => sum + dispatchesPerToken, 0);
