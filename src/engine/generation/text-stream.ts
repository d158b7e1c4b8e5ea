import { Detokenizer } from '../../tokenizer/detokenizer.ts';
import { StopStrings } from '../../tokenizer/stop-strings.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';

/** Tokens to text, cut before the first stop string. */
export class TextStream {
  readonly #detokenizer: Detokenizer;
  readonly #stops: StopStrings;
  stopped = false;

  constructor(tokenizer: Tokenizer, stop: readonly string[]) {
    this.#detokenizer = new Detokenizer(tokenizer);
    this.#stops = new StopStrings(stop);
  }

  push(token: number): string {
    return this.#through(this.#detokenizer.push(token));
  }

  flush(): string {
    if (this.stopped) return '';
    const last = this.#through(this.#detokenizer.flush());
    return this.stopped ? last : last + this.#stops.flush();
  }

  #through(piece: string): string {
    const { text, stopped } = this.#stops.push(piece);
    this.stopped ||= stopped;
    return text;
  }
}
