import { byId } from '../basics/dom.ts';
import { keepText, keptText } from './kept-text.ts';

export interface ComposerEvents {
  onSend: (text: string) => void;
  onStop: () => void;
}

/** `loading`: a prompt sent now waits; `waiting`: a prompt waits; `no model`: no model is open or loading. */
export type ComposerState = 'no model' | 'loading' | 'waiting' | 'ready' | 'answering';

const KEPT = 'chunkwise draft';

/** The input field: Enter sends, Shift+Enter starts a new line. */
export class Composer {
  private readonly form = byId('composer', HTMLFormElement);
  private readonly prompt = byId('prompt', HTMLTextAreaElement);
  private readonly send = byId('send', HTMLButtonElement);
  private readonly stop = byId('stop', HTMLButtonElement);
  private state: ComposerState = 'loading';
  private events?: ComposerEvents;
  private isEarly = false;

  /** Enables the field; `follow` sets the handlers. */
  constructor() {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
    this.prompt.addEventListener('keydown', (event) => {
      // During IME composition Enter selects a character.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.prompt.addEventListener('input', () => this.update());
    this.stop.addEventListener('click', () => this.events?.onStop());
    this.giveBack(keptText(KEPT));
  }

  /** Sends a prompt whose Enter came before this. */
  follow(events: ComposerEvents): void {
    this.events = events;
    if (this.isEarly) this.submit();
  }

  setState(state: ComposerState): void {
    const hadFocus = document.activeElement === this.stop;
    this.state = state;
    this.update();
    if (hadFocus) this.prompt.focus();
  }

  /** Fills in a text that the user may edit before sending. */
  fill(text: string): void {
    this.prompt.value = text;
    this.update();
    this.prompt.focus();
  }

  /** Puts an unsent text before the text typed meanwhile. */
  giveBack(text: string): void {
    this.prompt.value = [text, this.prompt.value].filter((part) => part !== '').join('\n\n');
    this.update();
  }

  ask(text: string): void {
    this.prompt.value = text;
    this.submit();
  }

  focus(): void {
    this.prompt.focus();
  }

  private get canSend(): boolean {
    return (this.state === 'ready' || this.state === 'loading') && this.prompt.value.trim() !== '';
  }

  private submit(): void {
    if (!this.canSend) return;
    if (!this.events) {
      this.isEarly = true;
      return;
    }
    const text = this.prompt.value.trim();
    this.prompt.value = '';
    this.update();
    this.events.onSend(text);
  }

  private update(): void {
    const canStop = this.state === 'answering' || this.state === 'waiting';
    this.send.hidden = canStop;
    this.stop.hidden = !canStop;
    this.send.disabled = !this.canSend;
    keepText(KEPT, this.prompt.value);
  }
}
