import type { Engine, PlanEvent, TokenEvent } from '../../src/api/index.ts';

/** The used part of an adapter: the rank level, and its mean rank over all adapted matrices. */
export interface Dose {
  level: number;
  meanRank: number;
}

/** A token with its rank. */
export interface RankedToken extends Dose {
  text: string;
  /** 0 to 1. */
  complexity: number;
  /** At the start of a chunk: the chunk's rank, from which ramping tokens may differ. */
  chunk: Dose | undefined;
}

/** The ranks of one request until `close`: of the prompt's new tokens and of the answer. */
export class RankRecord {
  readonly prompt: RankedToken[] = [];
  readonly answer: RankedToken[] = [];
  /** Mean rank of each level. */
  ladder: readonly number[] = [];
  chunks = 0;
  /** Called after each change. */
  onChange: () => void = () => undefined;
  private sum = 0;
  private counted = 0;
  private reported: number | undefined;
  /** Id of this request and length of its prompt, from the first token. */
  private first: TokenEvent | undefined;
  private early: PlanEvent[] = [];
  /** Tokens without text yet: an incomplete character or a possible stop string. */
  private textless: RankedToken[] = [];
  private lastLevel: number | undefined;
  private readonly removers: (() => void)[];

  constructor(engine: Engine) {
    this.removers = [
      engine.on('plan', (event) => (this.first ? this.addPlan(event, this.first) : this.early.push(event))),
      engine.on('token', (event) => this.addToken(event)),
    ];
  }

  /** Mean over all tokens so far; at the end, as counted by the GPU. */
  get meanRank(): number | undefined {
    return this.reported ?? (this.counted > 0 ? this.sum / this.counted : undefined);
  }

  /** Text after the last token event. */
  addText(text: string): void {
    const last = this.textless.at(-1) ?? this.answer.at(-1);
    if (text === '' || !last) return;
    last.text += text;
    this.answer.push(...this.textless);
    this.textless = [];
    this.onChange();
  }

  end(meanRank: number | undefined): void {
    this.reported = meanRank;
    this.onChange();
  }

  close(): void {
    for (const remove of this.removers) remove();
  }

  private addToken(event: TokenEvent): void {
    const { level, meanRank = 0, complexity = 0 } = event;
    if (level === undefined) return;
    if (!this.first) {
      this.first = event;
      for (const plan of this.early) this.addPlan(plan, event);
    }
    if (event.id !== this.first.id) return;
    const chunk = level === this.lastLevel ? undefined : { level, meanRank };
    this.textless.push(this.count({ text: '', level, meanRank, complexity, chunk }));
    this.lastLevel = level;
  }

  private addPlan({ id, start, complexity, rows, chunks, ladder, ...event }: PlanEvent, first: TokenEvent): void {
    // Text after the prompt belongs to the answer's tokens.
    if (id !== first.id || start >= first.contextUsed - 1) return;
    this.ladder = ladder ?? [];
    const { texts } = event;
    rows.forEach(({ levelHi, wLo, wHi }, i) => {
      // The first chunk may start among cached tokens.
      const isFirst = this.prompt.length === 0;
      const token = {
        text: texts[i] ?? '',
        level: levelHi,
        // Tokens before an aLoRA's invocation have rank 0.
        meanRank: wLo === 0 && wHi === 0 ? 0 : (this.ladder[levelHi] ?? this.ladder.at(-1) ?? 0),
        complexity: complexity[i] ?? 0,
        chunk: chunks.find((chunk) => chunk.start === start + i || (isFirst && chunk.end > start)),
      };
      this.prompt.push(this.count(token));
    });
    this.onChange();
  }

  private count(token: RankedToken): RankedToken {
    this.counted++;
    this.sum += token.meanRank;
    if (token.chunk) this.chunks++;
    return token;
  }
}
