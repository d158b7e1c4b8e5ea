import type { Sequence } from '../../session/sequence.ts';
import type { SampledToken } from '../../session/sampling/sampler.ts';
import type { Session } from '../../session/session.ts';
import { ModelDrafts } from '../../session/speculation/model-drafts.ts';
import { Speculation } from '../../session/speculation/speculation.ts';
import type { Feature } from './feature.ts';

/** Drafts an answer by its own text, by a draft model, or by the model's draft head, if a verified draft saves time. */
export class SpeculationFeature implements Feature {
  #speculation: Speculation | undefined;
  #hasDraftModel = false;

  constructor(
    private readonly session: Session,
    private readonly sequence: Sequence,
    private readonly prompt: readonly number[],
  ) {}

  /** A draft head reads hidden states of the model: the session keeps them from here on, for one sequence at a time. */
  beforePrompt(): void {
    const { draftModel, device } = this.session;
    this.#hasDraftModel =
      draftModel !== undefined && (draftModel.device !== device || this.session.keepStates(this.sequence));
  }

  afterPrompt(): void {
    const { stepCosts: costs, plan, draftModel } = this.session;
    if (!draftModel || !this.#hasDraftModel) {
      this.#speculation = new Speculation(costs, this.prompt);
      return;
    }
    const vocabSize = Math.min(plan.config.vocabSize, draftModel.plan.config.vocabSize);
    const assumedCost = draftModel.plan.tensorBytes / plan.tensorBytes; // a step reads all weights
    const drafts = new ModelDrafts(this.prompt, { draftModel, slot: this.sequence.slot, vocabSize, costs });
    this.#speculation = new Speculation(costs, this.prompt, drafts, assumedCost);
  }

  isDraftLikely(): boolean {
    return this.#speculation?.isLikely === true;
  }

  afterStep(tokens: readonly SampledToken[]): void {
    for (const { token } of tokens) this.#speculation?.push(token);
  }

  async draft(most: number): Promise<readonly number[] | undefined> {
    return this.#speculation?.draft(most);
  }

  async onFinish(): Promise<void> {
    await this.#speculation?.close();
    this.session.forgetStates(this.sequence);
  }
}
