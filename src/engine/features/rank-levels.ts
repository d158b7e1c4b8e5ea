import { entropyComplexity } from '../../chunking/complexity.ts';
import { type RampRow, rampRowsAfter } from '../../chunking/ramps.ts';
import type { AdaptedText } from '../../session/adapter-mix.ts';
import type { Draft } from '../../session/batches.ts';
import type { SampledToken, SampleRequest } from '../../session/sampling/sampler.ts';
import type { Sequence } from '../../session/sequence.ts';
import type { Session } from '../../session/session.ts';
import type { PlanEvent, TokenRank } from '../types.ts';
import type { AnswerToken, EndEvent, Feature, TokenEvent } from './feature.ts';

/** The receiver of chunks, and the text of a token. */
interface Report {
  onPlan: ((event: PlanEvent) => void) | undefined;
  textOf: (token: number) => string;
}

/** Has the GPU choose the rank levels of an answer's tokens by entropy, and reports the resulting chunks. */
export class RankLevelsFeature implements Feature {
  /** Rows of the last two tokens whose level the GPU chose. */
  #lastRows: RampRow[] = [];
  readonly #chunks: DecodedChunks | undefined;
  readonly forbidsDrafts: boolean;

  constructor(
    private readonly session: Session,
    private readonly sequence: Sequence,
    private readonly text: AdaptedText,
    private readonly promptTokens: number,
    report: Report,
  ) {
    if (text.ladder.length > 0) this.#chunks = new DecodedChunks(text, report);
    // If a plan sets the first levels and the GPU the rest, a draft could cross from one to the other.
    this.forbidsDrafts = text.follow !== undefined && sequence.rows[promptTokens] !== undefined;
  }

  beforePrompt(): void {
    this.session.ranks.reset(this.sequence);
  }

  beforeSample(sample: SampleRequest): void {
    const { follow } = this.text;
    const { position } = sample;
    if (follow && position === this.promptTokens) this.session.samples.levels.begin(this.sequence.slot, follow.start);
    sample.level = this.sequence.rows[position] ? undefined : follow?.options;
    if (this.#chunks) sample.wantsEntropy = true;
  }

  afterStep(tokens: readonly SampledToken[]): void {
    this.#lastRows = [...this.#lastRows, ...tokens.flatMap(({ row }) => row ?? [])].slice(-2);
  }

  beforeVerify(draft: Draft): void {
    const { follow } = this.text;
    const [before, last] = this.#lastRows.length > 1 ? this.#lastRows : [undefined, ...this.#lastRows];
    if (follow && last) draft.rows = rampRowsAfter(before, last, follow.options.rampWidth, draft.tokens.length);
  }

  onToken({ token, position, row, entropy }: AnswerToken): Partial<TokenEvent> {
    return (row && this.#chunks?.push(token, position, row, entropy)) ?? {};
  }

  async onEnd({ report }: EndEvent): Promise<void> {
    if (this.#chunks) report.meanRank = await this.session.ranks.read(this.sequence);
  }

  onFinish(): void {
    this.#chunks?.finish();
  }
}

/** Chunks of an answer: consecutive tokens of one level, which the GPU chose or a plan set. */
class DecodedChunks {
  #start = 0;
  #tokens: number[] = [];
  #rows: RampRow[] = [];
  #complexity: number[] = [];

  constructor(
    private readonly text: AdaptedText,
    private readonly report: Report,
  ) {}

  /** Takes a token at `position`, sampled from a distribution of `entropy`. Reports the chunk before when its level ends. */
  push(token: number, position: number, row: RampRow, entropy = 0): TokenRank {
    const level = row.levelHi;
    if (this.#rows.length > 0 && this.#rows[0]?.levelHi !== level) this.finish();
    if (this.#rows.length === 0) this.#start = position;
    const complexity = entropyComplexity(entropy);
    this.#tokens.push(token);
    this.#rows.push(row);
    this.#complexity.push(complexity);
    return { level, meanRank: this.#meanRank(level), complexity };
  }

  finish(): void {
    const [start, tokens, rows, complexity] = [this.#start, this.#tokens, this.#rows, this.#complexity];
    [this.#tokens, this.#rows, this.#complexity] = [[], [], []];
    const level = rows[0]?.levelHi;
    if (level === undefined) return;
    const end = start + rows.length;
    const mean = complexity.reduce((sum, each) => sum + each, 0) / rows.length;
    const chunk = { start, end, complexity: mean, level, scale: 1, meanRank: this.#meanRank(level) };
    const { ladder, levels } = this.text;
    const { onPlan, textOf } = this.report;
    const texts = tokens.map(textOf);
    onPlan?.({ start, end, tokens, texts, complexity, rows, chunks: [chunk], ladder: [...ladder], levels });
  }

  #meanRank(level: number): number {
    const { ladder } = this.text;
    return ladder[level] ?? ladder.at(-1) ?? 0;
  }
}
