import { type Run, type Runs, verdictOf, WAYS } from './comparison-runs.ts';
import type { Exchange } from './conversations.ts';
import { create } from '../basics/dom.ts';
import { formatBytes, formatMs, formatRank, formatRate } from '../basics/format.ts';
import { CONFIDENCE, formatInterval, medianInterval } from '../basics/interval.ts';
import type { GrowingText } from './growing-text.ts';
import type { Measured, Way } from './request.ts';

const TITLES: Record<Way, [title: string, about: string]> = {
  chunkwise: ['Chunkwise', 'ranks and cache as set'],
  ordinary: ['Ordinary LoRA', 'all ranks, 16-bit cache'],
};

/** Rows of the table; times cover all runs. */
const FIGURES: [label: string, of: (measured: Measured, runs: readonly Run[]) => string][] = [
  ['First token', ({ ttftMs }, runs) => timesOf(ttftMs, runs, (run) => run.ttftMs, formatMs)],
  ['Speed', ({ tokensPerSecond }, runs) => timesOf(tokensPerSecond, runs, (run) => run.tokensPerSecond, formatRate)],
  ['Tokens a step', ({ tokensPerStep }) => (tokensPerStep === undefined ? '–' : tokensPerStep.toFixed(1))],
  ['Mean rank', ({ meanRank }) => (meanRank === undefined ? '–' : formatRank(meanRank))],
  ['KV cache', ({ kvBytes }) => formatBytes(kvBytes)],
  ['Prompt reused', ({ cachedTokens, promptTokens }) => `${cachedTokens} of ${promptTokens}`],
];

/** Two answers to one prompt side by side, with measurements of each. */
export class ComparisonView {
  readonly element = create('div', 'comparison');
  private readonly figures = new Map<Way, HTMLElement>();
  private readonly measured = new Map<Way, Measured>();
  private readonly measuring = create('p', 'waiting');
  private readonly verdict = create('p', 'compared-verdict');

  constructor(
    chunkwise: HTMLElement,
    readonly ordinary: GrowingText,
  ) {
    this.element.dataset['testid'] = 'comparison';
    this.measuring.hidden = this.verdict.hidden = true;
    const columns = [this.column('chunkwise', chunkwise), this.column('ordinary', ordinary.element)];
    this.element.append(...columns, this.measuring, this.verdict);
  }

  /** Shows a note during `work` that measurement has not started. */
  async whileWarmingUp(work: () => Promise<void>): Promise<void> {
    const note = create('p', 'waiting', 'Warming up, once each way …');
    this.element.before(note);
    await work().finally(() => note.remove());
  }

  show(way: Way, measured: Measured): void {
    this.measured.set(way, measured);
    this.draw(way, []);
  }

  restore({ chunkwise, ordinary, runs }: NonNullable<Exchange['comparison']>): void {
    this.ordinary.append(ordinary?.answer ?? '');
    this.ordinary.flush();
    if (chunkwise) this.show('chunkwise', chunkwise);
    if (ordinary?.measured) this.show('ordinary', ordinary.measured);
    if (runs) this.showRuns(runs, false);
  }

  /** `isMeasuring`: more runs follow. */
  showRuns(runs: Runs, isMeasuring: boolean): void {
    for (const way of WAYS) this.draw(way, runs[way]);
    this.measuring.textContent = `Measuring both again, in turns: ${runs.chunkwise.length} of each so far …`;
    this.measuring.hidden = !isMeasuring;
    const verdict = verdictOf(runs);
    this.verdict.hidden = verdict === undefined;
    if (verdict === undefined) return;
    const how = `Each way was measured ${runs.chunkwise.length} times, in turns. Where times differ by more than a tenth, an interval is shown: between two of the measured values, which enclose the median with a probability of at least ${Math.round(100 * CONFIDENCE)} %.`;
    this.verdict.replaceChildren(create('strong', '', verdict), create('small', '', how));
  }

  private draw(way: Way, runs: readonly Run[]): void {
    const measured = this.measured.get(way);
    if (!measured) return;
    const rows = FIGURES.map(([label, of]) => {
      const row = create('div', '');
      row.append(create('dt', '', label), create('dd', '', of(measured, runs)));
      return row;
    });
    this.figures.get(way)?.replaceChildren(...rows);
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

/** An interval over all runs if there are enough, else the value of the shown run; `–` if nothing was timed. */
function timesOf(
  shown: number,
  runs: readonly Run[],
  of: (run: Run) => number,
  format: (value: number) => string,
): string {
  const values = runs.map(of);
  const interval = values.every((value) => value > 0) ? medianInterval(values) : undefined;
  if (interval) return formatInterval(interval, format);
  return shown > 0 ? format(shown) : '–';
}
