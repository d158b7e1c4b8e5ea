import type { Form } from '../adapters/adapters.ts';
import { ComparisonView } from './comparison-view.ts';
import type { Exchange } from './conversations.ts';
import { create } from '../basics/dom.ts';
import { errorWords } from '../basics/error-words.ts';
import { GrowingText } from './growing-text.ts';
import { copyButton } from './markdown.ts';

export interface AnswerEvents {
  onGrown: () => void;
  onRetry: () => void;
}

/** View of one answer, in progress or complete. */
export class AnswerView {
  private readonly text: GrowingText;
  private readonly foot = create('div', 'message-foot');
  /** Details, shown on demand. */
  private readonly details = create('div', 'answer-details');
  /** The second answer, if there is one. */
  comparison: ComparisonView | undefined;
  private written = '';

  constructor(
    private readonly item: HTMLElement,
    private readonly form: Form,
    private readonly events: AnswerEvents,
  ) {
    this.text = new GrowingText(form, events.onGrown);
    this.details.hidden = true;
    item.append(this.text.element, this.foot, this.details);
    item.setAttribute('aria-busy', 'true');
  }

  append(text: string): void {
    this.written += text;
    this.text.append(text);
  }

  /** Adds to the details. */
  attach(element: HTMLElement): void {
    this.offerDetails();
    this.details.append(element);
  }

  /** Adds another answer to the same prompt. */
  compare(): ComparisonView {
    const beside = new GrowingText(this.form, this.events.onGrown);
    this.comparison = new ComparisonView(this.text.element, beside);
    this.foot.before(this.comparison.element);
    return this.comparison;
  }

  /** Shows a stored answer. */
  restore({ answer, note, details, state, comparison }: Exchange): void {
    this.append(answer);
    if (comparison) this.compare().restore(comparison);
    // Older answers have their measurements in the note.
    const measured = details ?? (state === 'done' ? note : undefined);
    if (state === 'writing') this.end('Not finished: the page was closed');
    else this.end(measured === note ? '' : note, measured);
  }

  /** Ends the answer with a note. `measured`: a line for the details. */
  end(note: string, measured?: string): void {
    this.text.flush();
    this.item.removeAttribute('aria-busy');
    const retry = create('button', 'plain', 'Retry');
    retry.type = 'button';
    retry.addEventListener('click', () => this.events.onRetry());
    if (measured !== undefined && measured !== '') {
      this.offerDetails();
      this.details.prepend(create('p', 'note', measured));
    }
    this.foot.prepend(
      ...(note === '' ? [] : [create('p', 'note', note)]),
      ...(this.written === '' ? [] : [copyButton(() => this.written)]),
      retry,
    );
    this.events.onGrown();
  }

  fail(error: unknown): void {
    const { title, advice, detail } = errorWords(error);
    const box = create('div', 'message-error');
    box.role = 'alert';
    box.dataset['testid'] = 'message-error';
    box.append(create('strong', '', `${title}.`), ` ${advice}`, create('p', 'card-detail', detail));
    this.item.append(box);
    this.end('');
  }

  private offerDetails(): void {
    if (this.details.hasChildNodes()) return;
    const button = create('button', 'plain', 'Details');
    button.type = 'button';
    button.ariaExpanded = 'false';
    button.addEventListener('click', () => {
      this.details.hidden = !this.details.hidden;
      button.ariaExpanded = String(!this.details.hidden);
      if (!this.details.hidden) this.details.scrollIntoView({ block: 'nearest' });
    });
    this.foot.append(button);
  }
}
