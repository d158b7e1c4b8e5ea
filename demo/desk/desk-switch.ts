import type { Engine } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';
import type { Desk, DeskState } from './desk.ts';

/** The header's button between the chat and the desk, which is loaded when it is first opened. */
export class DeskSwitch {
  private readonly button = byId('open-desk', HTMLButtonElement);
  private readonly label = byId('desk-label', HTMLElement);
  private readonly place = byId('desk', HTMLElement);
  private readonly chat = byId('chat', HTMLElement);
  private loading: Promise<Desk> | undefined;
  private desk: Desk | undefined;
  private engine: Engine | undefined;
  private state: DeskState = 'loading';

  constructor() {
    this.button.addEventListener('click', () => {
      if (this.place.hidden) return void this.open();
      this.close();
      this.button.focus();
    });
  }

  /** Shows the desk, with a file as its document. */
  async open(file?: File): Promise<void> {
    this.show(true);
    this.loading ??= import('./desk.ts').then(({ Desk }) => new Desk(this.place));
    try {
      this.desk = await this.loading;
    } catch {
      this.loading = undefined; // the next click tries again
      return this.show(false);
    }
    this.desk.follow(this.engine, this.state);
    if (file) await this.desk.read(file);
    else this.desk.focus();
  }

  follow(engine: Engine | undefined, state: DeskState): void {
    this.engine = engine;
    this.state = state;
    this.desk?.follow(engine, state);
  }

  /** Shows the chat. */
  close(): void {
    this.show(false);
  }

  private show(isDesk: boolean): void {
    this.place.hidden = !isDesk;
    this.chat.hidden = isDesk;
    document.body.classList.toggle('at-desk', isDesk);
    this.label.textContent = isDesk ? 'Chat' : 'Desk';
  }
}
