import type { Tokenizer } from './tokenizer.ts';

/** Turns tokens into text as they arrive; never gives half a character. */
export class Detokenizer {
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });

  constructor(private readonly tokenizer: Pick<Tokenizer, 'tokenBytes'>) {}

  /** The characters that `id` completes; '' for a control token or while a character is unfinished. */
  push(id: number): string {
    return this.decoder.decode(this.tokenizer.tokenBytes(id), { stream: true });
  }

  /** U+FFFD for a character that stayed unfinished, else ''. The next `push` begins a new text. */
  flush(): string {
    return this.decoder.decode();
  }
}
