import { create } from '../basics/dom.ts';
import { formatCount, formatRank } from '../basics/format.ts';
import { oncePerFrame } from '../basics/frame.ts';
import type { Dose, RankedToken, RankRecord } from './rank-record.ts';

/** Most tokens drawn per frame. */
const AT_ONCE = 250;

/** A request's text with ranks and complexity, hidden until opened. */
export class RankStrip {
  readonly element = create('details', 'ranks');
  private readonly summary = create('summary', '');
  private readonly legend = create('ol', 'rank-legend');
  private readonly prompt = new Strip('New part of the prompt');
  private readonly answer = new Strip('Answer');

  constructor(private readonly record: RankRecord) {
    this.element.dataset['testid'] = 'rank-strip';
    this.element.hidden = true;
    this.legend.ariaLabel = 'Mean rank of each level';
    const help = create('p', 'rank-help', 'Number and shade: mean rank. Bar below a token: its difficulty.');
    this.element.append(this.summary, this.legend, help, ...this.prompt.elements, ...this.answer.elements);
    this.element.addEventListener('toggle', () => {
      this.draw();
      if (this.element.open) this.reveal();
    });
    record.onChange = () => this.draw();
  }

  private readonly draw = oncePerFrame(() => {
    const { meanRank, chunks, ladder, prompt, answer } = this.record;
    this.element.hidden = meanRank === undefined;
    this.summary.textContent = `Ranks: mean ${formatRank(meanRank ?? 0)} · ${formatCount(chunks)} chunks`;
    if (!this.element.open) return;
    if (this.legend.childElementCount !== ladder.length) this.legend.replaceChildren(...ladder.map(swatch));
    const rest = this.prompt.add(prompt, ladder.length) + this.answer.add(answer, ladder.length);
    if (rest > 0) this.draw();
  });

  /** Scrolls it into view after `draw`. */
  private readonly reveal = oncePerFrame(() => this.element.scrollIntoView({ block: 'nearest' }));
}

/** Tokens in chunks, each with its rank at the start. */
class Strip {
  readonly elements: [HTMLElement, HTMLElement];
  private readonly box = create('div', 'rank-text');
  private chunk: HTMLElement = this.box;
  private drawn = 0;

  constructor(title: string) {
    this.elements = [create('h3', '', title), this.box];
  }

  /** Draws the next tokens and returns the number left. */
  add(tokens: readonly RankedToken[], levels: number): number {
    const end = Math.min(tokens.length, this.drawn + AT_ONCE);
    for (const token of tokens.slice(this.drawn, end)) {
      if (token.chunk) this.begin(token.chunk, levels);
      this.chunk.append(tokenSpan(token, levels));
    }
    this.drawn = end;
    return tokens.length - end;
  }

  private begin(dose: Dose, levels: number): void {
    this.chunk = create('span', 'rank-chunk');
    const rank = create('span', 'rank-figure', formatRank(dose.meanRank));
    rank.prepend(create('span', 'hidden', ' Rank '));
    rank.title = titleOf(dose);
    shade(rank, dose.level, levels);
    this.chunk.append(rank);
    // Lines may break between chunks, also without a space.
    this.box.append(this.chunk, document.createElement('wbr'));
  }
}

function tokenSpan(token: RankedToken, levels: number): HTMLElement {
  const span = create('span', 'rank-token', token.text.replaceAll('\n', '↵\n'));
  span.title = `${titleOf(token)}, complexity ${token.complexity.toFixed(2)}`;
  span.style.setProperty('--complexity', token.complexity.toFixed(2));
  shade(span, token.level, levels);
  return span;
}

function swatch(meanRank: number, level: number, { length }: readonly number[]): HTMLElement {
  const item = create('li', 'rank-token', formatRank(meanRank));
  shade(item, level, length);
  item.title = titleOf({ level, meanRank });
  return item;
}

function shade(element: HTMLElement, level: number, levels: number): void {
  element.dataset['level'] = String(level);
  element.style.setProperty('--level', (level / Math.max(1, levels - 1)).toFixed(2));
}

function titleOf({ level, meanRank }: Dose): string {
  return `Mean rank ${formatRank(meanRank)} (level ${level + 1})`;
}
