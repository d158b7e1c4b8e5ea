import { byId, create } from './dom.ts';
import { errorWords } from './error-words.ts';
import { oncePerFrame } from './frame.ts';

/** Pixels from the end within which the view follows the text. */
const FOLLOW_WITHIN = 48;

/** The messages of the conversation as the page shows them. */
export class Transcript {
  private readonly list = byId('messages', HTMLOListElement);
  private readonly scroller = byId('scroller', HTMLElement);
  private following = true;

  constructor() {
    this.scroller.addEventListener('scroll', () => {
      const { scrollTop, scrollHeight, clientHeight } = this.scroller;
      this.following = scrollHeight - scrollTop - clientHeight < FOLLOW_WITHIN;
    });
  }

  addQuestion(text: string): void {
    this.add('user').append(create('div', 'text', text));
    this.following = true;
    this.follow();
  }

  addAnswer(): AnswerView {
    return new AnswerView(this.add('assistant'), () => this.follow());
  }

  clear(): void {
    this.list.replaceChildren();
  }

  private add(role: 'user' | 'assistant'): HTMLElement {
    const item = create('li', `message ${role}`);
    item.dataset['testid'] = 'message';
    item.dataset['role'] = role;
    item.append(create('span', 'hidden', role === 'user' ? 'You: ' : 'Model: '));
    this.list.append(item);
    return item;
  }

  private follow(): void {
    if (this.following) this.scroller.scrollTop = this.scroller.scrollHeight;
  }
}

/** One answer while it is written: its text is added once per frame, however fast the tokens come. */
export class AnswerView {
  private readonly text = document.createTextNode('');
  private pending = '';

  constructor(
    private readonly item: HTMLElement,
    private readonly onGrown: () => void,
  ) {
    const box = create('div', 'text');
    box.append(this.text);
    item.append(box);
    // A screen reader waits for the whole answer.
    item.setAttribute('aria-busy', 'true');
  }

  append(text: string): void {
    this.pending += text;
    this.draw();
  }

  /** Shows something below the text. */
  attach(element: HTMLElement): void {
    this.item.append(element);
  }

  /** Ends the answer with a line about it. */
  end(note: string): void {
    this.flush();
    this.item.removeAttribute('aria-busy');
    if (note !== '') this.item.querySelector('.text')?.after(create('p', 'note', note));
    this.onGrown();
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

  private readonly draw = oncePerFrame(() => {
    this.flush();
    this.onGrown();
  });

  private flush(): void {
    if (this.pending === '') return;
    this.text.appendData(this.pending);
    this.pending = '';
  }
}
