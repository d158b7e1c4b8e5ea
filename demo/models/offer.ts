import { byId, create } from '../basics/dom.ts';

/** A question before a download. */
export interface Question {
  title: string;
  /** Host of the download, in Punycode so that none looks like another. */
  host: string;
  facts: [label: string, value: string][];
  about: string;
  accept: string;
  decline: string;
}

/** `withdrawn`: the question became obsolete. */
export type Answer = 'accepted' | 'declined' | 'withdrawn';

/** The card above the input field that asks before a download; only the latest question is open. */
export class Offer {
  private readonly card = byId('offer', HTMLElement);
  private readonly accept = byId('offer-accept', HTMLButtonElement);
  private readonly decline = byId('offer-decline', HTMLButtonElement);
  private end: (answer: Answer) => void = () => undefined;

  /** `onCard`: a question is shown in the chat. */
  constructor(private readonly onCard: () => void) {
    this.accept.addEventListener('click', () => this.end('accepted'));
    this.decline.addEventListener('click', () => this.end('declined'));
    this.card.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      event.preventDefault(); // Escape would stop an answer too
      this.end('declined');
    });
  }

  ask({ title, host, facts, about, accept, decline }: Question): Promise<Answer> {
    this.withdraw();
    byId('offer-title', HTMLElement).textContent = title;
    byId('offer-host', HTMLElement).textContent = host;
    byId('offer-about', HTMLElement).textContent = about;
    const rows = facts.map(([label, value]) => {
      const row = create('div', '');
      row.append(create('dt', '', label), create('dd', '', value));
      return row;
    });
    byId('offer-facts', HTMLElement).replaceChildren(...rows);
    this.accept.textContent = accept;
    this.decline.textContent = decline;
    this.card.hidden = false;
    this.onCard();
    // Focus the card and not its buttons, which a stray key press could trigger; keep the focus while the user writes.
    if (document.activeElement?.id !== 'prompt') this.card.focus();
    return new Promise((resolve) => {
      this.end = (answer) => {
        this.card.hidden = true;
        this.end = () => undefined;
        resolve(answer);
      };
    });
  }

  withdraw(): void {
    this.end('withdrawn');
  }
}
