import { byId } from '../basics/dom.ts';
import { chooseLook, chosenLook } from '../basics/looks.ts';

/** Width from which measurements fit beside the chat; the same as in `narrow.css`. */
const WIDE = '(min-width: 900px)';

/** Shows the measurements, or one line of them: the user's last choice, or by the page's width. */
export class ReadoutsToggle {
  private readonly button = byId('toggle-readouts', HTMLButtonElement);
  private readonly line = byId('readouts-line', HTMLElement);
  private readonly wide = matchMedia(WIDE);

  constructor() {
    this.button.addEventListener('click', () => {
      chooseLook('readouts', this.isOpen ? 'closed' : 'open');
      this.show();
    });
    this.wide.addEventListener('change', () => this.show());
    this.show();
  }

  /** The line shown while the measurements are closed. */
  tell(line: string): void {
    if (this.line.textContent !== line) this.line.textContent = line;
  }

  private get isOpen(): boolean {
    const chosen = chosenLook('readouts');
    return chosen === 'open' || (chosen !== 'closed' && this.wide.matches);
  }

  private show(): void {
    this.button.ariaExpanded = String(this.isOpen);
  }
}
