import type { AnswerView } from './answer-view.ts';
import type { ComparisonView } from './comparison-view.ts';
import type { Exchange } from './conversations.ts';
import type { RankRecord } from '../readouts/rank-record.ts';
import { RankStrip } from '../readouts/rank-strip.ts';

/** Place of an answer while it is written; none while another conversation is on the page. */
export class AnswerPlace {
  private view: AnswerView | undefined;
  private ranks: RankRecord | undefined;
  private warmingUp: Promise<void> | undefined;

  constructor(private readonly exchange: Exchange) {}

  /** Shows the exchange without its answer. */
  show(view: AnswerView): void {
    const { answer, comparison } = this.exchange;
    this.view = view;
    view.append(answer);
    if (comparison) view.compare().restore(comparison);
    this.showWarmUp();
    this.showRanks();
  }

  hide(): void {
    this.view = undefined;
    if (this.ranks) this.ranks.onChange = () => undefined;
  }

  append(text: string): void {
    this.view?.append(text);
  }

  /** Adds another answer to the same prompt. */
  compare(): void {
    this.view?.compare();
  }

  /** The other answer. */
  get beside(): ComparisonView | undefined {
    return this.view?.comparison;
  }

  /** Shows a note during `work` that measurement has not started. */
  async whileWarmingUp(work: Promise<void>): Promise<void> {
    this.warmingUp = work;
    this.showWarmUp();
    await work.finally(() => (this.warmingUp = undefined));
  }

  attach(ranks: RankRecord): void {
    this.ranks = ranks;
    this.showRanks();
  }

  end(note: string, measured?: string): void {
    this.view?.end(note, measured);
  }

  fail(error: unknown): void {
    this.view?.fail(error);
  }

  private showWarmUp(): void {
    const { warmingUp } = this;
    if (warmingUp) this.beside?.whileWarmingUp(() => warmingUp).catch(() => undefined); // the caller handles the error
  }

  private showRanks(): void {
    if (this.ranks) this.view?.attach(new RankStrip(this.ranks).element);
  }
}
