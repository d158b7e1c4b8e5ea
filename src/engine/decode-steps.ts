import type { RampRow } from '../chunking/ramps.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import type { LevelOptions } from './level-control.ts';
import type { Drawing } from './sampler.ts';
import type { Sequence } from './sequence.ts';

/** A draw that goes on a sequence. */
export interface Draw extends Omit<Drawing, 'slot'> {
  sequence: Sequence;
  /** Where the GPU chooses the level of the token drawn, by this. */
  level?: LevelOptions | undefined;
  /** Reads the raw logits back. */
  wantsLogits?: boolean;
}

export interface Drawn {
  token: number;
  /** Where it was wanted. */
  entropy: number | undefined;
  /** `[vocabSize]`: of the model, before what the sampler makes of them; where they were wanted. */
  logits?: Float32Array | undefined;
  /** What it takes of the adapters, where the GPU chose. */
  row?: RampRow;
  /** Of the submission that drew it, shared out among the tokens it drew. */
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
}

interface Asked {
  draw: Draw;
  resolve: (drawn: Drawn) => void;
  reject: (error: unknown) => void;
}

interface Stream {
  /** Steps it has asked for that have not gone off: its next, and at most the one after. */
  asked: Asked[];
  /** A batch went without it: none waits for it until it asks again. */
  isSlow: boolean;
}

/**
 * Puts the decode steps of several streams into one submission. A stream asks for its next step before it reads the
 * token of its last. A batch goes off once every stream has asked, or, with those that have, when no step is under way
 * any more: who reads slowly is not waited for.
 */
export class DecodeSteps {
  readonly #streams = new Map<Sequence, Stream>();
  #underWay = 0;

  constructor(private readonly decode: (draws: readonly Draw[]) => Promise<Drawn[]>) {}

  /** Resolves when the step is done. Errors: those of `decode`, and `aborted` when the stream leaves before. */
  ask(draw: Draw): Promise<Drawn> {
    const stream = this.#streams.get(draw.sequence) ?? { asked: [], isSlow: false };
    this.#streams.set(draw.sequence, stream);
    stream.isSlow = false;
    return new Promise((resolve, reject) => {
      stream.asked.push({ draw, resolve, reject });
      this.#submitIfReady();
    });
  }

  /** A stream ends: nobody waits for it, and what it asked for that is not under way is dropped. */
  leave(sequence: Sequence): void {
    const asked = this.#streams.get(sequence)?.asked ?? [];
    this.#streams.delete(sequence);
    for (const { reject } of asked) reject(new ChunkwiseError('aborted', { reason: 'the stream ended' }));
    this.#submitIfReady();
  }

  #submitIfReady(): void {
    const streams = [...this.#streams.values()];
    const isWaitedFor = streams.some(({ asked, isSlow }) => asked.length === 0 && !isSlow);
    if (isWaitedFor && this.#underWay > 0) return;
    const batch: Asked[] = [];
    for (const stream of streams) {
      const next = stream.asked.shift();
      if (next) batch.push(next);
      else stream.isSlow = true;
    }
    if (batch.length > 0) this.#submit(batch);
  }

  #submit(batch: readonly Asked[]): void {
    this.#underWay++;
    const ended = (): void => {
      this.#underWay--;
      this.#submitIfReady();
    };
    this.decode(batch.map(({ draw }) => draw)).then(
      (drawn) => {
        ended();
        batch.forEach(({ resolve }, i) => resolve(drawn[i] as Drawn));
      },
      (error: unknown) => {
        ended();
        for (const { reject } of batch) reject(error);
      },
    );
  }
}
