import { create } from '../basics/dom.ts';
import { formatBytes, formatCount } from '../basics/format.ts';
import type { PagedText } from './pdf-text.ts';
import { closestTo, groundsOf, type Passage, passagesOf, type Span } from './passages.ts';

/** About fifty pages. */
const MOST_CHARACTERS = 150_000;
/** Of a PDF, with its pictures. */
const MOST_PDF_BYTES = 50e6;

const EXAMPLE = `The lighthouse on Grey Skerry was built in 1868 by the engineer Ada Lindqvist, after eleven ships had been lost on the reef in a single winter. Its lamp burned colza oil until 1911, when it was changed to acetylene. The light could then be seen from nineteen miles away. In 1932 a fog horn was added, which fishermen on the mainland disliked. The last keeper, Tomas Brandt, left the island in 1974. Since then the lamp has been lit by a clock.

The island itself is a nature reserve. About four thousand puffins nest on its western cliffs from April to August, and visitors may land only with a warden. Boats sail from Port Ellery twice a week in summer. The crossing takes ninety minutes.`;

/** A sentence, and its page from 1 on; 0 if the document has no pages. */
export interface Cited {
  sentence: string;
  page: number;
}

/** The document: a field for its text, then the text with marks. */
export class DocumentView {
  readonly element = create('section', 'desk-document');
  passages: readonly Passage[] = [];
  private readonly field = create('textarea', '');
  private readonly accept = action('Use this text', () => this.use(this.field.value), 'primary');
  private readonly entry = create('div', 'desk-entry');
  private readonly shown = create('div', 'desk-text');
  private readonly facts = create('span', 'desk-facts');
  private readonly failure = create('p', 'message-error');
  private readonly replace = create('button', 'quiet', 'Change the text');
  private readonly reading = create('p', 'desk-status');
  private opening: AbortController | undefined;
  private text = '';
  /** Where in the text each page starts, if it has pages. */
  private pageStarts: readonly number[] = [];
  /** The elements of the sentences, by where they start. */
  private readonly sentences = new Map<number, HTMLElement>();

  /** `onChange`: another document is shown. */
  constructor(private readonly onChange: () => void) {
    this.element.ariaLabel = 'Document';
    this.field.id = 'desk-text';
    this.field.ariaLabel = 'Text of the document';
    this.field.placeholder = 'Paste a text here, or drop a .txt, .md or .pdf file on the page.';
    this.field.addEventListener('paste', () => setTimeout(() => this.use(this.field.value)));
    this.accept.disabled = true;
    this.field.addEventListener('input', () => this.mayAccept());
    const input = create('input', '');
    input.type = 'file';
    input.accept = '.txt,.md,.pdf,text/plain,text/markdown,application/pdf';
    input.addEventListener('change', () => {
      const [file] = input.files ?? [];
      input.value = ''; // lets the user pick the same file again
      if (file) void this.open(file);
    });
    const pick = create('label', 'quiet file', 'Open a file');
    pick.append(input);
    const actions = create('div', 'card-actions');
    actions.append(
      this.accept,
      pick,
      action('Use the example', () => this.use(EXAMPLE), 'quiet'),
    );
    this.entry.append(this.field, actions);
    this.replace.type = 'button';
    this.replace.addEventListener('click', () => this.edit());
    this.failure.role = 'alert';
    this.reading.role = 'status';
    this.shown.tabIndex = 0;
    this.shown.role = 'group';
    this.shown.ariaLabel = 'Text';
    const head = create('div', 'desk-head');
    head.append(create('h2', '', 'Document'), this.facts, this.replace);
    this.element.append(head, this.failure, this.reading, this.entry, this.shown);
    this.fail('');
    this.show();
  }

  /** Reads a text file or a PDF, unless another text is used meanwhile. */
  async open(file: File): Promise<void> {
    this.opening?.abort();
    const { signal } = (this.opening = new AbortController());
    this.fail('');
    try {
      const { text, pageStarts } = isPdf(file) ? await this.readPdf(file, signal) : await readText(file);
      if (!signal.aborted) this.use(text, pageStarts, file.name);
    } catch (error) {
      if (!signal.aborted) this.fail(`${file.name} ${(error as Error).message}.`);
    } finally {
      if (!signal.aborted) this.reading.textContent = '';
    }
  }

  private async readPdf(file: File, signal: AbortSignal): Promise<PagedText> {
    if (file.size > MOST_PDF_BYTES) throw new Error(`is too large: ${formatBytes(MOST_PDF_BYTES)} are read at most`);
    this.reading.textContent = `Opening ${file.name} …`;
    const reader = await import('./pdf.ts').catch((cause: unknown) => {
      throw new Error('cannot be opened: the reader of PDFs could not be loaded', { cause });
    });
    return reader.readPdf(file, {
      most: MOST_CHARACTERS,
      onPage: (page, count) => (this.reading.textContent = `Reading page ${page} of ${count} of ${file.name} …`),
      signal,
    });
  }

  focus(): void {
    this.field.focus();
  }

  unmark(): void {
    for (const element of this.sentences.values()) {
      element.classList.remove('in-passage', 'cited');
      element.textContent = element.textContent; // without marked phrases
    }
  }

  markPassage({ sentences }: Passage): void {
    for (const { start } of sentences) this.sentences.get(start)?.classList.add('in-passage');
    this.bringIntoView(sentences[0]);
  }

  /** Marks an answer and the sentence that it rests on, and returns that; undefined if no sentence has its words. */
  markAnswer({ sentences }: Passage, asked: { question: string; answer: string }): Cited | undefined {
    const grounds = groundsOf(this.text, sentences, asked);
    if (!grounds) return undefined;
    const { sentence, start } = grounds;
    const end = start + asked.answer.length;
    const element = this.sentences.get(sentence.start);
    element?.classList.add('cited');
    element?.replaceChildren(
      this.textOf({ start: sentence.start, end: start }),
      create('mark', '', asked.answer),
      this.textOf({ start: end, end: sentence.end }),
    );
    this.bringIntoView(sentence);
    return this.cited(sentence, start);
  }

  /** Marks the sentence of a passage that shares the most words with the question, and returns it. */
  markClosest({ sentences }: Passage, question: string): Cited | undefined {
    const closest = closestTo(question, this.text, sentences);
    if (!closest) return undefined;
    this.sentences.get(closest.start)?.classList.add('cited');
    this.bringIntoView(closest);
    return this.cited(closest, closest.start);
  }

  private cited(sentence: Span, start: number): Cited {
    return { sentence: this.textOf(sentence), page: this.pageStarts.filter((at) => at <= start).length };
  }

  private textOf({ start, end }: Span): string {
    return this.text.slice(start, end);
  }

  private bringIntoView(sentence: Span | undefined): void {
    const element = sentence && this.sentences.get(sentence.start);
    const isShown = this.shown.scrollHeight > this.shown.clientHeight;
    if (element && isShown) this.shown.scrollTop = element.offsetTop - this.shown.clientHeight / 3;
  }

  private use(text: string, pageStarts: readonly number[] = [], name = 'The text'): void {
    this.opening?.abort();
    this.reading.textContent = '';
    if (text.trim() === '') return this.fail(`${name} is empty.`);
    if (text.length > MOST_CHARACTERS)
      return this.fail(
        `${name} has ${formatCount(text.length)} characters; at most ${formatCount(MOST_CHARACTERS)} are read.`,
      );
    this.fail('');
    this.text = this.field.value = text;
    this.pageStarts = pageStarts;
    this.passages = passagesOf(text);
    this.sentences.clear();
    this.shown.replaceChildren();
    let end = 0;
    for (const span of this.passages.flatMap(({ sentences }) => sentences)) {
      const element = create('span', 'sentence', this.textOf(span));
      this.sentences.set(span.start, element);
      this.shown.append(text.slice(end, span.start), element);
      end = span.end;
    }
    this.show();
    this.onChange();
  }

  private mayAccept(): void {
    this.accept.disabled = this.field.value.trim() === '';
  }

  private edit(): void {
    this.passages = [];
    this.mayAccept();
    this.show();
    this.onChange();
    this.field.focus();
  }

  private show(): void {
    const isRead = this.passages.length > 0;
    this.entry.hidden = isRead;
    this.shown.hidden = this.replace.hidden = this.facts.hidden = !isRead;
    const words = this.text.split(/\s+/).filter((word) => word !== '').length;
    const parts = `${formatCount(this.passages.length)} ${this.passages.length === 1 ? 'passage' : 'passages'}`;
    const { length } = this.pageStarts;
    const pages = length === 0 ? '' : length === 1 ? ', 1 page' : `, ${formatCount(length)} pages`;
    this.facts.textContent = `${formatCount(words)} words, ${parts}${pages}`;
  }

  private fail(text: string): void {
    this.failure.textContent = text;
    this.failure.hidden = text === '';
  }
}

const isPdf = ({ name, type }: File): boolean => /\.pdf$/i.test(name) || type === 'application/pdf';

/** A text in UTF-8. An error's message completes a sentence that begins with the file's name. */
async function readText(file: File): Promise<PagedText> {
  if (file.size > 4 * MOST_CHARACTERS) throw new Error('is too large');
  const text = await file.text();
  if (/[\0\uFFFD]/.test(text)) throw new Error('is not a text in UTF-8');
  return { text, pageStarts: [] };
}

function action(label: string, act: () => void, look: 'primary' | 'quiet'): HTMLButtonElement {
  const button = create('button', look, label);
  button.type = 'button';
  button.addEventListener('click', act);
  return button;
}
