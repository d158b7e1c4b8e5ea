import type { Exchange } from './conversations.ts';
import { create } from '../basics/dom.ts';
import { formatBytes, formatMs, formatRank, formatRate } from '../basics/format.ts';
import type { GrowingText } from './growing-text.ts';
import type { Measured, Way } from './request.ts';

const TITLES: Record<Way, [title: string, about: string]> = {
  chunkwise: ['Chunkwise', 'ranks and cache as set'],
  ordinary: ['Ordinary LoRA', 'all ranks, 16-bit cache'],
};

const FIGURES: [label: string, of: (measured: Measured) => string][] = [
  ['First token', ({ ttftMs }) => formatMs(ttftMs)],
  ['Per token', ({ msPerToken }) => formatMs(msPerToken)],
  ['Speed', ({ tokensPerSecond }) => formatRate(tokensPerSecond)],
  ['Tokens a step', ({ tokensPerStep }) => (tokensPerStep === undefined ? '–' : tokensPerStep.toFixed(1))],
  ['Mean rank', ({ meanRank }) => (meanRank === undefined ? '–' : formatRank(meanRank))],
  ['KV cache', ({ kvBytes }) => formatBytes(kvBytes)],
  ['Prompt reused', ({ cachedTokens, promptTokens }) => `${cachedTokens} of ${promptTokens}`],
];

/** Two answers to one prompt side by side, with what was measured of each. */
export class ComparisonView {
  readonly element = create('div', 'comparison');
  private readonly figures = new Map<Way, HTMLElement>();

  constructor(
    chunkwise: HTMLElement,
    readonly ordinary: GrowingText,
  ) {
    this.element.dataset['testid'] = 'comparison';
    this.element.append(this.column('chunkwise', chunkwise), this.column('ordinary', ordinary.element));
  }

  /** Says that nothing is measured yet, as long as `work` runs. */
  async whileWarmingUp(work: () => Promise<void>): Promise<void> {
    const note = create('p', 'waiting', 'Warming up, once each way …');
    this.element.before(note);
    await work().finally(() => note.remove());
  }

  show(way: Way, measured: Measured): void {
    const rows = FIGURES.map(([label, of]) => {
      const row = create('div', '');
      row.append(create('dt', '', label), create('dd', '', of(measured)));
      return row;
    });
    this.figures.get(way)?.replaceChildren(...rows);
  }

  restore({ chunkwise, ordinary }: NonNullable<Exchange['comparison']>): void {
    this.ordinary.append(ordinary?.answer ?? '');
    this.ordinary.flush();
    if (chunkwise) this.show('chunkwise', chunkwise);
    if (ordinary?.measured) this.show('ordinary', ordinary.measured);
  }

  private column(way: Way, text: HTMLElement): HTMLElement {
    const [title, about] = TITLES[way];
    const column = create('section', 'compared');
    const heading = create('h3', '', `${title} `);
    heading.append(create('small', '', about));
    const figures = create('dl', 'compared-figures');
    this.figures.set(way, figures);
    column.dataset['way'] = way;
    column.ariaLabel = title;
    column.append(heading, figures, text);
    return column;
  }
}
