import type { Form } from '../adapters/adapters.ts';
import { create } from '../basics/dom.ts';
import { oncePerFrame } from '../basics/frame.ts';
import { MarkdownView } from './markdown.ts';

/** A text in progress, drawn once per frame at most. */
export class GrowingText {
  readonly element: HTMLElement;
  private readonly view: { append: (text: string) => void };
  private pending = '';

  /** A continued text keeps its lines; a chat answer is Markdown. */
  constructor(
    form: Form,
    private readonly onGrown: () => void,
  ) {
    if (form === 'chat') {
      const view = new MarkdownView();
      this.element = view.element;
      this.view = view;
      return;
    }
    this.element = create('div', 'text');
    const node = document.createTextNode('');
    this.element.append(node);
    this.view = { append: (text) => node.appendData(text) };
  }

  append(text: string): void {
    this.pending += text;
    this.draw();
  }

  flush(): void {
    if (this.pending === '') return;
    const { pending } = this;
    this.pending = '';
    this.view.append(pending);
  }

  private readonly draw = oncePerFrame(() => {
    this.flush();
    this.onGrown();
  });
}
