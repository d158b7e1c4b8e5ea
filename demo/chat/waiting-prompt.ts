import type { Composer } from './composer.ts';
import { keepText, keptText } from './kept-text.ts';
import type { Transcript } from './transcript.ts';

const KEPT = 'chunkwise waiting';

/** A prompt that was sent before there was anyone to answer it. */
export class WaitingPrompt {
  private text: string | undefined;
  private hide: () => void = () => undefined;

  constructor(
    private readonly transcript: Transcript,
    private readonly composer: Composer,
  ) {
    // Of the page before its reload. It may be long ago, so it is not sent by itself.
    composer.giveBack(keptText(KEPT));
    keepText(KEPT, '');
  }

  get isThere(): boolean {
    return this.text !== undefined;
  }

  /** Shows it in the conversation, with what it waits for. */
  begin(text: string, waitsFor: string): void {
    this.giveBack();
    this.text = text;
    this.hide = this.transcript.addWaiting(text, `Waiting for ${waitsFor} …`);
    keepText(KEPT, text);
  }

  /** It is to be sent now. */
  take(): string | undefined {
    const { text } = this;
    this.text = undefined;
    this.hide();
    keepText(KEPT, '');
    return text;
  }

  /** It is not to be sent: its text is back where one writes. */
  giveBack(): void {
    const text = this.take();
    if (text !== undefined) this.composer.giveBack(text);
  }
}
