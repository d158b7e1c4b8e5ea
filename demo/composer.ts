import { byId } from './dom.ts';

export interface ComposerEvents {
  onSend: (text: string) => void;
  onStop: () => void;
}

/** Where one writes: Enter sends, Shift+Enter begins a line. */
export class Composer {
  private readonly form = byId('composer', HTMLFormElement);
  private readonly prompt = byId('prompt', HTMLTextAreaElement);
  private readonly send = byId('send', HTMLButtonElement);
  private readonly stop = byId('stop', HTMLButtonElement);
  private state: 'loading' | 'ready' | 'answering' = 'loading';

  constructor(private readonly events: ComposerEvents) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.submit();
    });
    this.prompt.addEventListener('keydown', (event) => {
      // During composition of a character Enter chooses it.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.submit();
    });
    this.prompt.addEventListener('input', () => this.update());
    this.stop.addEventListener('click', () => events.onStop());
  }

  setState(state: Composer['state']): void {
    const hadFocus = document.activeElement === this.stop;
    this.state = state;
    this.update();
    if (hadFocus) this.prompt.focus();
  }

  /** Writes for the user, who may change it before sending. */
  fill(text: string): void {
    this.prompt.value = text;
    this.update();
    this.prompt.focus();
  }

  ask(text: string): void {
    this.prompt.value = text;
    this.submit();
  }

  focus(): void {
    this.prompt.focus();
  }

  private submit(): void {
    const text = this.prompt.value.trim();
    if (this.state !== 'ready' || text === '') return;
    this.prompt.value = '';
    this.update();
    this.events.onSend(text);
  }

  private update(): void {
    this.send.hidden = this.state === 'answering';
    this.stop.hidden = this.state !== 'answering';
    this.send.disabled = this.state !== 'ready' || this.prompt.value.trim() === '';
  }
}
