import DOMPurify from 'dompurify';
import { Marked } from 'marked';
import type { Token, Tokens } from 'marked';
import { create } from '../basics/dom.ts';
import { blocksOf } from './markdown-blocks.ts';

const marked = new Marked({ gfm: true, breaks: true });

/** No images, whose server would learn what is read; no styles and no forms. */
const ALLOWED_TAGS = [
  ...['p', 'br', 'hr', 'strong', 'em', 'del', 'code', 'pre', 'blockquote', 'a', 'ul', 'ol', 'li'],
  ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'table', 'thead', 'tbody', 'tr', 'th', 'td'],
];
const SANITIZING = {
  ALLOWED_TAGS,
  ALLOWED_ATTR: ['href', 'title', 'class', 'align', 'start'],
  ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
  ALLOW_DATA_ATTR: false,
  RETURN_DOM_FRAGMENT: true as const,
};
const COPIED_MS = 1500;

/** Markdown in progress: blocks before the last one are drawn once. */
export class MarkdownView {
  readonly element = create('div', 'text markdown');
  private readonly last = create('div', 'block');
  private rest = '';
  /** Element for the rest as plain text. */
  private plain: Text | undefined;

  constructor() {
    this.element.append(this.last);
  }

  /** Never throws: a block that cannot be drawn, and all after it, become text. */
  append(text: string): void {
    if (this.plain) {
      this.plain.appendData(text);
      return;
    }
    this.rest += text;
    try {
      this.draw();
    } catch {
      this.plain = document.createTextNode(this.rest);
      const written = create('div', 'text');
      written.append(this.plain);
      this.last.replaceChildren(written);
    }
  }

  private draw(): void {
    const blocks = blocksOf(this.rest);
    // The last block may still grow, such as by a list item.
    const lastAt = blocks.findLastIndex(({ type }) => type !== 'space');
    for (const block of blocks.slice(0, Math.max(lastAt, 0))) {
      if (block.type !== 'space') {
        const done = create('div', 'block');
        done.append(render(block));
        this.last.before(done);
      }
      this.rest = this.rest.slice(block.raw.length);
    }
    const block = blocks[lastAt];
    this.last.replaceChildren(...(block ? [render(block)] : []));
  }
}

function render(block: Token): DocumentFragment {
  // Headings start below the page's own levels.
  if (block.type === 'heading') block['depth'] = Math.min((block as Tokens.Heading).depth + 2, 6);
  const fragment = DOMPurify.sanitize(marked.parser([block]), SANITIZING);
  for (const link of fragment.querySelectorAll('a')) {
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
  }
  for (const table of fragment.querySelectorAll('table')) scrollable(table, 'Table');
  for (const pre of fragment.querySelectorAll('pre')) addCopyButton(pre);
  return fragment;
}

/** A wide element scrolls by itself, also by keyboard. */
function scrollable(element: HTMLElement, label: string): void {
  const box = create('div', 'wide');
  box.tabIndex = 0;
  box.role = 'group';
  box.ariaLabel = label;
  element.replaceWith(box);
  box.append(element);
}

function addCopyButton(pre: HTMLElement): void {
  const language = /language-([\w+#-]+)/.exec(pre.querySelector('code')?.className ?? '')?.[1] ?? '';
  const box = create('div', 'code');
  const head = create('div', 'code-head');
  head.append(
    create('span', '', language),
    copyButton(() => pre.textContent),
  );
  pre.replaceWith(box);
  box.append(head, pre);
  scrollable(pre, language === '' ? 'Code' : `Code, ${language}`);
}

/** Copies `text()` and confirms it. */
export function copyButton(text: () => string): HTMLButtonElement {
  const button = create('button', 'plain', 'Copy');
  button.type = 'button';
  button.addEventListener('click', () => {
    void navigator.clipboard
      .writeText(text())
      .then(
        () => 'Copied',
        () => 'Not allowed',
      )
      .then((word) => {
        button.textContent = word;
        setTimeout(() => (button.textContent = 'Copy'), COPIED_MS);
      });
  });
  return button;
}
