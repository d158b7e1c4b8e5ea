import { AnswerView } from './answer-view.ts';
import type { Conversation, Exchange } from './conversations.ts';
import { byId, create } from '../basics/dom.ts';

/** Distance from the end, in pixels, at which the view follows the text. */
const FOLLOW_WITHIN = 48;

export interface TranscriptEvents {
  onRetry: (index: number) => void;
  onEdit: (index: number, prompt: string) => void;
}

/** The conversation's messages on the page. */
export class Transcript {
  private readonly list = byId('messages', HTMLOListElement);
  private readonly scroller = byId('scroller', HTMLElement);
  private readonly announcer = byId('announcer', HTMLElement);
  private following = true;

  constructor(private readonly events: TranscriptEvents) {
    this.scroller.addEventListener('scroll', () => {
      const { scrollTop, scrollHeight, clientHeight } = this.scroller;
      this.following = scrollHeight - scrollTop - clientHeight < FOLLOW_WITHIN;
    });
    new ResizeObserver(() => this.follow()).observe(this.scroller);
  }

  /** Shows a conversation. Returns the view of the answer that is being `written`. */
  show({ exchanges }: Conversation, written: Exchange | undefined): AnswerView | undefined {
    this.list.replaceChildren();
    let place: AnswerView | undefined;
    exchanges.forEach((exchange, index) => {
      const view = this.add(exchange, index);
      if (exchange === written) place = view;
      else view.restore(exchange);
    });
    this.following = true;
    this.follow();
    return place;
  }

  /** Shows a prompt and an empty answer. */
  add({ prompt, form }: Exchange, index: number): AnswerView {
    this.addQuestion(prompt, index);
    const item = this.addItem('assistant');
    this.following = true;
    this.follow();
    return new AnswerView(item, form, { onGrown: () => this.follow(), onRetry: () => this.events.onRetry(index) });
  }

  /** Shows a waiting prompt and the reason. The returned function removes it. */
  addWaiting(prompt: string, why: string): () => void {
    const question = this.addItem('user');
    question.append(create('div', 'text', prompt));
    const answer = this.addItem('assistant');
    answer.setAttribute('aria-busy', 'true');
    answer.append(create('p', 'waiting', why));
    this.announce(why);
    this.following = true;
    this.follow();
    return () => {
      question.remove();
      answer.remove();
    };
  }

  /** Removes exchanges from an index on. */
  cutAt(index: number): void {
    for (const item of [...this.list.children].slice(2 * index)) item.remove();
  }

  /** For screen readers: announces a complete answer, not each token. */
  announce(text: string): void {
    this.announcer.textContent = text;
  }

  private addQuestion(prompt: string, index: number): void {
    const item = this.addItem('user');
    const text = create('div', 'text', prompt);
    const edit = create('button', 'plain', 'Edit');
    edit.type = 'button';
    const foot = create('div', 'message-foot');
    foot.append(edit);
    item.append(text, foot);
    edit.addEventListener('click', () => this.editIn(item, prompt, index));
  }

  private editIn(item: HTMLElement, prompt: string, index: number): void {
    const kept = [...item.childNodes];
    const form = create('form', 'edit');
    const box = create('textarea', '');
    box.value = prompt;
    box.ariaLabel = 'Edit your message';
    const send = create('button', 'primary', 'Ask again');
    const cancel = create('button', 'quiet', 'Cancel');
    cancel.type = 'button';
    const actions = create('div', 'card-actions');
    actions.append(cancel, send);
    form.append(box, actions);
    const leave = (): void => {
      item.classList.remove('editing');
      item.replaceChildren(...kept);
      item.querySelector('button')?.focus();
    };
    cancel.addEventListener('click', leave);
    form.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') leave();
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.target !== box) return;
      event.preventDefault();
      form.requestSubmit();
    });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const edited = box.value.trim();
      if (edited !== '') this.events.onEdit(index, edited);
    });
    item.classList.add('editing');
    item.replaceChildren(form);
    box.focus();
  }

  private addItem(role: 'user' | 'assistant'): HTMLElement {
    const item = create('li', `message ${role}`);
    item.dataset['testid'] = 'message';
    item.dataset['role'] = role;
    item.append(create('span', 'hidden', role === 'user' ? 'You: ' : 'Model: '));
    this.list.append(item);
    return item;
  }

  /** An empty conversation shows the welcome from its top. */
  private follow(): void {
    if (this.following) this.scroller.scrollTop = this.list.childElementCount === 0 ? 0 : this.scroller.scrollHeight;
  }
}
