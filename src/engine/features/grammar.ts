import { FEW_TOKENS } from '../../config/limits.ts';
import type { GrammarVocabulary, NextTokens, TokenGrammar } from '../../grammar/token-grammar.ts';
import type { Draft } from '../../session/batches.ts';
import { handled } from '../../errors/chunkwise-error.ts';
import type { SampledToken, SampleRequest } from '../../session/sampling/sampler.ts';
import type { Tokenizer } from '../../tokenizer/tokenizer.ts';
import type { EndEvent, Feature } from './feature.ts';

/** Wrong drafts of likely text in a row after which the grammar proposes none. */
const MAX_WRONG_DRAFTS = 3;

/** The tokens that may come next in an answer. */
interface AllowedTokens {
  /** One bit for each allowed token; if text is forced, its first token only. */
  mask: Uint32Array<ArrayBuffer>;
  /** Tokens that must come; empty if there is a choice. */
  forced: readonly number[];
  /** Text that is likely to come. */
  likelyText: string;
}

/**
 * Keeps an answer within a grammar. The forward pass of a step runs while its mask is computed from the token before. Text
 * that must come, or is likely to, is drafted and verified in one step.
 */
export class GrammarFeature implements Feature {
  readonly stepsOneByOne = true;
  /** Tokens that may follow the last token of the step that is read; undefined once the answer is complete. */
  #next: Promise<AllowedTokens | undefined>;
  #firstMask: Uint32Array<ArrayBuffer> | undefined;
  /** Tokens of the current draft that must come. */
  #forced = 0;
  /** Tokens of the answer that were verified together because they had to come. */
  #forcedTotal = 0;
  /** Tokens of the current draft if it is likely text, else 0. */
  #likely = 0;
  #wrongDrafts = 0;

  constructor(
    private readonly grammar: TokenGrammar,
    private readonly tokenizer: Tokenizer,
  ) {
    const first = grammar.first && this.#allowed(grammar.first);
    this.#firstMask = first?.mask;
    this.#next = Promise.resolve(first);
  }

  beforeSample(sample: SampleRequest): void {
    if (this.#firstMask) {
      sample.allowed = this.#firstMask;
      this.#firstMask = undefined;
    } else {
      sample.allowedLater = handled(this.#next.then((next) => next?.mask));
    }
  }

  /** An error is left to the sample that waits for the mask. */
  async isDraftLikely(): Promise<boolean> {
    const next = await this.#next.catch(() => undefined);
    return next !== undefined && (next.forced.length > 1 || this.#likelyTokens(next).length > 1);
  }

  beforeRead(step: Promise<readonly SampledToken[]>): void {
    this.#next = handled(step.then((tokens) => this.#follow(tokens.map(({ token }) => token))));
  }

  afterStep(tokens: readonly SampledToken[]): void {
    if (this.#likely > 0) this.#wrongDrafts = tokens.length > this.#likely / 2 ? 0 : this.#wrongDrafts + 1;
    this.#likely = 0;
  }

  async draft(most: number): Promise<readonly number[] | undefined> {
    const next = await this.#next;
    if (!next) return [];
    const count = Math.min(most, FEW_TOKENS - 1);
    const forced = next.forced.slice(0, count);
    const likely = this.#likelyTokens(next).slice(0, count);
    this.#forced = forced.length;
    const isLikely = likely.length > forced.length;
    this.#likely = isLikely ? likely.length : 0;
    const draft = isLikely ? likely : forced;
    return draft.length > 0 ? draft : undefined;
  }

  /** Cuts the draft where the grammar forbids it, and adds the masks. */
  async beforeVerify(draft: Draft): Promise<void> {
    const next = await this.#next;
    if (!next) return;
    const after = await this.grammar.foresee(draft.tokens);
    draft.tokens = draft.tokens.slice(0, after.length);
    draft.allowed = [next.mask, ...after.map((each) => this.#allowed(each).mask)];
    this.#forcedTotal += Math.min(this.#forced, draft.tokens.length);
    if (this.#likely > 0) this.#likely = draft.tokens.length;
  }

  async isComplete(): Promise<boolean> {
    return (await this.#next) === undefined;
  }

  onEnd(event: EndEvent): void {
    event.usage.forcedTokens = this.#forcedTotal;
    event.ignored = this.grammar.ignored;
  }

  async onFinish(): Promise<void> {
    await this.#next.catch(() => undefined);
  }

  async #follow(tokens: readonly number[]): Promise<AllowedTokens | undefined> {
    if (tokens.some((token) => this.tokenizer.eosIds.has(token))) return undefined;
    const next = await this.grammar.follow(tokens);
    return next && this.#allowed(next);
  }

  #likelyTokens({ likelyText }: AllowedTokens): number[] {
    return this.#wrongDrafts < MAX_WRONG_DRAFTS ? tokensOf(this.tokenizer, likelyText) : [];
  }

  /** Cuts forced text into tokens as the tokenizer does. */
  #allowed({ mask, forcedText, likelyText }: NextTokens): AllowedTokens {
    // The tokenizer may cut the last token differently together with the text after it.
    const forced = tokensOf(this.tokenizer, forcedText).slice(0, -1);
    const [token] = forced;
    if (token === undefined) return { mask, forced, likelyText };
    const only = new Uint32Array(mask.length);
    only[token >>> 5] = 1 << (token & 31);
    return { mask: only, forced, likelyText };
  }
}

const encoder = new TextEncoder();

/** The tokens of text in the middle of an answer; none if the tokenizer would add to it. */
function tokensOf(tokenizer: Tokenizer, text: string): number[] {
  if (text.length < 2) return [];
  const tokens = tokenizer.encode(text, { addSpecial: false });
  // Some tokenizers put a space before the first word.
  const bytes = tokens.flatMap((token) => [...tokenizer.tokenBytes(token)]);
  const whole = encoder.encode(text);
  return bytes.every((byte, i) => byte === whole[i]) ? tokens : [];
}

/** The tokens of a model, for its grammars. `vocabSize`: logits of a row, which may exceed the tokenizer's tokens. */
export function grammarVocabulary(tokenizer: Tokenizer, vocabSize: number): GrammarVocabulary {
  const texts = Array.from({ length: tokenizer.vocabSize }, (_, id) => tokenizer.tokenBytes(id));
  const offsets = new Uint32Array(texts.length + 1);
  texts.forEach(({ length }, id) => (offsets[id + 1] = (offsets[id] ?? 0) + length));
  const bytes = new Uint8Array(offsets.at(-1) ?? 0);
  texts.forEach((text, id) => bytes.set(text, offsets[id]));
  const controlTokens = new Map<string, number>();
  for (let id = 0; id < texts.length; id++) if (tokenizer.isSpecial(id)) controlTokens.set(tokenizer.tokenText(id), id);
  return { vocabSize, bytes, offsets, eosIds: [...tokenizer.eosIds], controlTokens };
}
