import type { Composer } from './composer.ts';
import { keepText, keptText } from './kept-text.ts';
import type { Transcript } from './transcript.ts';

const KEPT = 'chunkwise waiting';

/** A prompt that was sent before a model could answer. */
export class WaitingPrompt {
  private text: string | undefined;
  private hide: () => void = () => undefined;

  constructor(
    private readonly transcript: Transcript,
    private readonly composer: Composer,
  ) {
    // From before a reload, possibly long ago, so it is not sent automatically.
    composer.giveBack(keptText(KEPT));
    keepText(KEPT, '');
  }

  get isThere(): boolean {
    return this.text !== undefined;
  }

  /** Shows the prompt in the conversation with the reason for the wait. */
  begin(text: string, waitsFor: string): void {
    this.giveBack();
    this.text = text;
    this.hide = this.transcript.addWaiting(text, `Waiting for ${waitsFor} …`);
    keepText(KEPT, text);
  }

  /** Takes the prompt to send it. */
  take(): string | undefined {
    const { text } = this;
    this.text = undefined;
    this.hide();
    keepText(KEPT, '');
    return text;
  }

  /** Returns the prompt to the input field. */
  giveBack(): void {
    const text = this.take();
    if (text !== undefined) this.composer.giveBack(text);
  }
}
