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

/** One answer, being written or as it was. */
export class AnswerView {
  private readonly text: GrowingText;
  private comparison: ComparisonView | undefined;
  private written = '';

  constructor(
    private readonly item: HTMLElement,
    private readonly form: Form,
    private readonly events: AnswerEvents,
  ) {
    this.text = new GrowingText(form, events.onGrown);
    item.append(this.text.element);
    item.setAttribute('aria-busy', 'true');
  }

  append(text: string): void {
    this.written += text;
    this.text.append(text);
  }

  /** Shows something below the text. */
  attach(element: HTMLElement): void {
    this.item.append(element);
  }

  /** Puts another answer to the same prompt beside this one. */
  compare(): ComparisonView {
    this.comparison = new ComparisonView(this.text.element, new GrowingText(this.form, this.events.onGrown));
    this.item.append(this.comparison.element);
    return this.comparison;
  }

  /** Shows an answer of an earlier visit. */
  restore({ answer, note, state, comparison }: Exchange): void {
    this.append(answer);
    if (comparison) this.compare().restore(comparison);
    this.end(state === 'writing' ? 'Not finished: the page was closed' : note);
  }

  /** Ends the answer with a line about it. */
  end(note: string): void {
    this.text.flush();
    this.item.removeAttribute('aria-busy');
    const below = this.comparison?.element ?? this.text.element;
    const foot = create('div', 'message-foot');
    const retry = create('button', 'plain', 'Retry');
    retry.type = 'button';
    retry.addEventListener('click', () => this.events.onRetry());
    if (note !== '') foot.append(create('p', 'note', note));
    if (this.written !== '') foot.append(copyButton(() => this.written));
    foot.append(retry);
    below.after(foot);
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
}
