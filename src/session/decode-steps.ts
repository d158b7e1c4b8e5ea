import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { DrawRequest, DrawnToken, StepResult } from './sampling/draw-request.ts';
import type { Sequence } from './sequence.ts';

interface Asked {
  draw: DrawRequest;
  resolve: (drawn: DrawnToken) => void;
  reject: (error: unknown) => void;
}

interface Stream {
  /** Steps it has asked for that have not gone off, its next first. */
  asked: Asked[];
  /** A batch went without it: none waits for it until it asks again. */
  isSlow: boolean;
  /** A step of its is computed whose token is not drawn: the next one needs it. */
  isHeld: boolean;
}

/** Computes what `DecodeSteps` asks for. */
export interface StepComputer {
  /** Submits a step as soon as nobody holds the activations, holding the logits of draws whose `allowedLater` is to come. */
  decode(draws: readonly DrawRequest[]): Promise<StepResult[]>;
  /** Settles once the step is submitted that holds a sequence's logits. Errors: those of the step. */
  heldStepOf(sequence: Sequence): Promise<void>;
  /** Submits the draw from what a step held for its sequence. */
  drawHeld(draw: DrawRequest): Promise<DrawnToken>;
}

/**
 * Puts the decode steps of several streams into one submission. A stream asks for its next steps before it reads the
 * token of its last. A batch goes off once every stream has asked, or, with those that have, when no step is under way
 * any more: who reads slowly is not waited for. Where a draw waits for what it may give, its step does not.
 */
export class DecodeSteps {
  readonly #streams = new Map<Sequence, Stream>();
  #underWay = 0;

  /** `onResult`: told when the result of a step has come, whether others are on their way, and how many dispatches it took. */
  constructor(
    private readonly computer: StepComputer,
    private readonly onResult: (underWay: boolean, dispatches: number) => void = () => undefined,
  ) {}

  /** Resolves when the step is done. Errors: those of the step, and `aborted` when the stream leaves before. */
  ask(draw: DrawRequest): Promise<DrawnToken> {
    const stream = this.#streams.get(draw.sequence) ?? { asked: [], isSlow: false, isHeld: false };
    this.#streams.set(draw.sequence, stream);
    stream.isSlow = false;
    return new Promise((resolve, reject) => {
      stream.asked.push({ draw, resolve, reject });
      this.#submitIfReady();
    });
  }

  /** No other stream decodes. */
  isAlone(sequence: Sequence): boolean {
    return [...this.#streams.keys()].every((stream) => stream === sequence);
  }

  /** A stream ends: nobody waits for it, and what it asked for that is not under way is dropped. */
  leave(sequence: Sequence): void {
    const asked = this.#streams.get(sequence)?.asked ?? [];
    this.#streams.delete(sequence);
    for (const { reject } of asked) reject(new ChunkwiseError('aborted', { reason: 'the stream ended' }));
    this.#submitIfReady();
  }

  #submitIfReady(): void {
    while (this.#submitNext());
  }

  /** Whether a batch went off. */
  #submitNext(): boolean {
    const streams = [...this.#streams.values()];
    const isWaitedFor = streams.some(({ asked, isSlow, isHeld }) => isHeld || (asked.length === 0 && !isSlow));
    if (isWaitedFor && this.#underWay > 0) return false;
    const batch: Asked[] = [];
    for (const stream of streams) {
      if (stream.isHeld) continue;
      const next = stream.asked.shift();
      if (next) batch.push(next);
      else stream.isSlow = true;
    }
    if (batch.length === 0) return false;
    this.#submit(batch);
    return true;
  }

  #submit(batch: readonly Asked[]): void {
    this.#underWay++;
    const ended = (): void => {
      this.#underWay--;
      this.#submitIfReady();
    };
    const step = this.computer.decode(batch.map(({ draw }) => draw));
    step.then(
      (all) => this.onResult(this.#underWay > 1, sumOf(all)),
      () => undefined,
    );
    const results = batch.map(async ({ draw }, i): Promise<DrawnToken> => {
      const later = draw.allowedLater && this.#drawLater(draw, draw.allowedLater);
      const [computed, drawn] = await Promise.all([step.then((all) => all[i] as DrawnToken), later]);
      return drawn
        ? { ...drawn, dispatchesPerToken: computed.dispatchesPerToken + drawn.dispatchesPerToken }
        : computed;
    });
    void Promise.allSettled(results).then(ended);
    results.forEach((result, i) => void result.then(batch[i]?.resolve, batch[i]?.reject));
  }

  /** Of a step that holds its logits. Errors: those of the step, of `drawHeld`, and `aborted` when nothing may be drawn, or the stream has left. */
  async #drawLater(draw: DrawRequest, allowedLater: NonNullable<DrawRequest['allowedLater']>): Promise<DrawnToken> {
    const stream = this.#streams.get(draw.sequence) as Stream; // whose step this is
    stream.isHeld = true;
    let drawn: Promise<DrawnToken>;
    try {
      const allowed = await allowedLater;
      await this.computer.heldStepOf(draw.sequence);
      if (!allowed || this.#streams.get(draw.sequence) !== stream)
        throw new ChunkwiseError('aborted', { reason: 'the stream ended' });
      drawn = this.computer.drawHeld({ ...draw, allowed, allowedLater: undefined }); // submits
    } finally {
      stream.isHeld = false;
      this.#submitIfReady();
    }
    return drawn;
  }
}

/** Dispatches of a step. */
const sumOf = (results: readonly StepResult[]): number =>
  results.reduce((sum, { dispatchesPerToken }) => sum + dispatchesPerToken, 0);
