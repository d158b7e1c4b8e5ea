import type { RampRow } from '../chunking/ramps.ts';
import type { Sequence } from './sequence.ts';
import type { BatchTrace } from './session-options.ts';

interface Asked {
  start: number;
  end: number;
  rows: Promise<RampRow[]>;
  began: number;
  ended: number;
}

/** Rows of a sequence's next tokens, batch by batch: the next one's are asked for while the GPU computes this one. */
export class PlannedRows {
  #asked: Asked | undefined;

  constructor(
    private readonly sequence: Sequence,
    private readonly onTrace: ((batch: BatchTrace) => void) | undefined,
  ) {}

  /** Asks for the rows of the next `length` tokens. */
  ask(length: number): void {
    const { tokens, text } = this.sequence;
    const start = tokens.length;
    const end = start + length;
    if (!text) return;
    const began = performance.now();
    const asked = { start, end, began, ended: began, rows: text.rows(end) };
    const note = (): void => void (asked.ended = performance.now());
    asked.rows.then(note, note); // a failure is reported where it is taken
    this.#asked = asked;
  }

  /** Waits for them and puts them into the sequence. Errors: `scheduler_lost`. */
  async take(): Promise<Traced | undefined> {
    const asked = this.#asked;
    if (!asked) return undefined;
    const before = performance.now();
    const rows = await asked.rows;
    const waitedMs = performance.now() - before;
    rows.forEach((row, i) => (this.sequence.rows[asked.start + i] = row));
    return this.onTrace && new Traced({ ...asked, waitedMs }, this.onTrace);
  }
}

/** A batch on its way. */
class Traced {
  constructor(
    private readonly asked: Omit<Asked, 'rows'> & { waitedMs: number },
    private readonly onTrace: (batch: BatchTrace) => void,
  ) {}

  submitted(queue: GPUQueue): void {
    const { start, end, began, ended, waitedMs } = this.asked;
    const submitted = performance.now();
    const done = (): void =>
      this.onTrace({
        start,
        end,
        planBegan: began,
        planEnded: ended,
        waitedMs,
        submitted,
        completed: performance.now(),
      });
    queue.onSubmittedWorkDone().then(done, () => undefined);
  }
}
