import type { Engine } from '../../src/api/index.ts';
import { create } from '../basics/dom.ts';
import { errorWords } from '../basics/error-words.ts';
import { formatCount, formatMs } from '../basics/format.ts';
import { type Cited, DocumentView } from './document-view.ts';
import { type Cost, Functions, type Result } from './functions.ts';
import { likeliest, type Passage } from './passages.ts';
import './desk.css';

/** `no model`: none is open or loading. */
export type DeskState = 'ready' | 'loading' | 'no model';

/** Probability from which the text counts as answering; docs/decisions/functions.md has figures. */
const LEAST = 0.5;
/** Passages of a long text that a question reads. */
const MOST_PASSAGES = 6;

/** The second view of the page: a document, and functions of it. */
export class Desk {
  private readonly document: DocumentView;
  private readonly form = create('form', 'desk-ask');
  private readonly question = create('input', '');
  private readonly send = create('button', 'primary', 'Ask');
  private readonly stop = create('button', 'quiet', 'Stop');
  private readonly status = create('p', 'desk-status');
  private readonly results = create('ol', 'desk-results');
  private functions: Functions | undefined;
  private state: DeskState = 'loading';
  private running: AbortController | undefined;

  constructor(place: HTMLElement) {
    this.document = new DocumentView(() => {
      this.running?.abort();
      this.results.replaceChildren();
      this.update();
      this.question.focus();
    });
    this.send.type = 'submit';
    this.send.id = 'desk-ask';
    this.stop.type = 'button';
    this.stop.addEventListener('click', () => this.running?.abort());
    this.status.role = 'status';
    this.results.ariaLive = 'polite';
    this.question.id = 'desk-question';
    this.question.placeholder = 'Ask about the text';
    this.question.autocomplete = 'off';
    this.question.ariaLabel = 'Question about the text';
    this.question.addEventListener('input', () => this.update());
    this.form.append(this.question, this.send, this.stop);
    place.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.running) return;
      event.preventDefault();
      this.running.abort();
    });
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.ask();
    });
    const side = create('section', 'desk-functions');
    side.ariaLabel = 'Functions';
    const help = create(
      'p',
      'desk-help',
      'Tells whether the text answers a question, with which words, and in which sentence. Adapters go on from what the model has read.',
    );
    side.append(create('h2', '', 'Functions'), help, this.form, this.status, this.results);
    place.append(this.document.element, side);
    this.update();
  }

  /** Uses this engine from now on. */
  follow(engine: Engine | undefined, state: DeskState): void {
    if (engine !== this.functions?.engine) {
      this.running?.abort();
      this.functions = engine && new Functions(engine);
    }
    this.state = state;
    this.update();
  }

  /** Opens a file as the document. */
  read(file: File): Promise<void> {
    return this.document.open(file);
  }

  focus(): void {
    if (this.document.passages.length > 0) this.question.focus();
    else this.document.focus();
  }

  private get canAsk(): boolean {
    return (
      this.functions !== undefined &&
      this.state === 'ready' &&
      !this.running &&
      this.document.passages.length > 0 &&
      this.question.value.trim() !== ''
    );
  }

  private update(): void {
    const { canAsk } = this;
    const focused = document.activeElement;
    this.send.disabled = !canAsk;
    this.send.hidden = this.running !== undefined;
    this.stop.hidden = !this.running;
    if (focused === this.send && this.send.hidden) this.stop.focus();
    if (focused === this.stop && this.stop.hidden) this.question.focus();
    if (!this.running) this.status.textContent = this.advice();
  }

  private advice(): string {
    if (this.state === 'loading') return 'The model is loading. You can prepare the text meanwhile.';
    if (this.state === 'no model') return 'No model is open. Choose one above.';
    return this.document.passages.length === 0 ? 'First add a text.' : '';
  }

  private async ask(): Promise<void> {
    const { functions, document } = this;
    if (!functions || !this.canAsk) return;
    const question = this.question.value.trim();
    const { signal } = (this.running = new AbortController());
    const run = new Run(question);
    this.results.prepend(run.element);
    document.unmark();
    this.update();
    try {
      await this.steps(functions, run, signal);
      this.question.select();
    } catch (error) {
      if (signal.aborted) run.note('Stopped.');
      else {
        const { title, advice, detail } = errorWords(error, 'adapter');
        run.fail(`${title}. ${advice}`, detail);
      }
    } finally {
      this.running = undefined;
      this.update();
    }
  }

  private async steps(functions: Functions, run: Run, signal: AbortSignal): Promise<void> {
    const { document } = this;
    const { question } = run;
    const { passage, value, cost } = await this.bestPassage(functions, question, signal);
    signal.throwIfAborted(); // another document may be shown
    const count = Math.min(MOST_PASSAGES, document.passages.length);
    const where = count > 1 ? `, best of ${count} passages` : '';
    run.step('Answerable?', `${percent(value)}${where}`, cost).append(meter(value));
    if (count > 1) document.markPassage(passage);
    if (value < LEAST) return run.note('The text probably does not answer this.');
    this.status.textContent = 'Answering …';
    const answer = await functions.answer(passage, question, signal);
    signal.throwIfAborted();
    run.step('Answer', answer.value, answer.cost).classList.add('answer');
    const cited = document.markAnswer(passage, { question, answer: answer.value });
    if (cited) return run.cite('Rests on', cited);
    const closest = document.markClosest(passage, question);
    if (closest) run.cite('Closest sentence', closest);
    run.note('The text does not have the answer’s words: the answer may be wrong.');
  }

  /** Asks the passages that share most with the question, and returns the one that most probably answers it. */
  private async bestPassage(functions: Functions, question: string, signal: AbortSignal): Promise<Best> {
    // The likeliest last: the next function finds it in the cache even if there is room for one passage only.
    const passages = likeliest(this.document.passages, question, MOST_PASSAGES).reverse();
    let best: Best | undefined;
    for (const [i, passage] of passages.entries()) {
      this.status.textContent = `Reading passage ${i + 1} of ${passages.length} …`;
      const found = await functions.answerable(passage, question, signal);
      const cost = best ? sum(best.cost, found.cost) : found.cost;
      best = best && best.value >= found.value ? { ...best, cost } : { ...found, passage, cost };
    }
    return best as Best;
  }
}

/** The passage that most probably answers a question, and the cost of asking all that were asked. */
type Best = Result<number> & { passage: Passage };

/** A question's results. */
class Run {
  readonly element = create('li', 'card desk-run');
  private readonly list = create('dl', '');

  constructor(readonly question: string) {
    this.element.append(create('p', 'card-title', question), this.list);
  }

  /** Adds a function's result, and returns its element. */
  step(name: string, text: string, cost?: Cost): HTMLElement {
    const step = create('div', 'desk-step');
    const value = create('dd', '', text);
    step.append(create('dt', '', name), value);
    if (cost) step.append(create('dd', 'card-detail', costLine(cost)));
    this.list.append(step);
    return value;
  }

  /** Shows a sentence of the text, and its page if there are pages. */
  cite(name: string, { sentence, page }: Cited): void {
    this.step(page > 0 ? `${name}, page ${page}` : name, `“${sentence}”`);
  }

  note(text: string): void {
    this.element.append(create('p', 'desk-note', text));
  }

  fail(text: string, detail: string): void {
    const failure = create('div', 'message-error');
    failure.role = 'alert';
    failure.append(create('p', '', text), create('p', 'card-detail', detail));
    this.element.append(failure);
  }
}

const costLine = ({ ms, promptTokens, cachedTokens, readAgain }: Cost): string =>
  `${formatMs(ms)} · tokens computed: ${formatCount(promptTokens - cachedTokens)} · read again: ${formatCount(readAgain)}`;

function meter(value: number): HTMLMeterElement {
  const element = create('meter', '');
  element.value = value;
  element.ariaLabel = 'Probability';
  return element;
}

const percent = (share: number): string => `${Math.round(100 * share)} %`;

const sum = (a: Cost, b: Cost): Cost => ({
  ms: a.ms + b.ms,
  promptTokens: a.promptTokens + b.promptTokens,
  cachedTokens: a.cachedTokens + b.cachedTokens,
  readAgain: a.readAgain + b.readAgain,
});
