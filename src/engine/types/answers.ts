/** What an engine answers with. */
import type { Chunk, ChunkPlan } from '../../chunking/chunk-plan.ts';
import type { PlannedPart } from '../../chunking/prompt-plan.ts';
import type { KvReport } from '../../cache/kv-report.ts';

export type FinishReason = 'stop' | 'length';

/** A chunk with the mean rank of its level over all linears of the request's adapters. */
export interface PlannedChunk extends Chunk {
  meanRank: number;
}

/** Tokens whose ranks are known, and the chunks known with them. Positions count from the beginning of the text. */
export interface PlanEvent extends PlannedPart {
  /** Of each token; of half a character, U+FFFD. */
  texts: string[];
  chunks: PlannedChunk[];
  /** Mean rank of each level, and what levels are. */
  ladder: ChunkPlan['ladder'];
  levels: ChunkPlan['levels'];
}

export interface Usage {
  promptTokens: number;
  /** Of the prompt's tokens, those whose keys and values were still in the cache. */
  cachedTokens: number;
  completionTokens: number;
  /** Of these, those that the answer's format left no choice of, taken without a step of their own. */
  forcedTokens: number;
}

/** How an answer was computed. Times in milliseconds. */
export interface GenerationReport {
  ttftMs: number;
  /** Of the tokens after the first. */
  msPerToken: { median: number; p95: number };
  tokensPerSecond: number;
  /** Of those tokens, how many a step gave: more than one where drafts of them were right. */
  tokensPerStep: number;
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
  /** Ranks read of the adapters, as the GPU counted: mean over the tokens computed and the linears that change. */
  meanRank?: number;
  /**
   * Of the request's activated adapters, by name: the place in the prompt of the first token that took it, where its
   * invocation begins; null where the prompt does not have that, so that the adapter had no part in the answer.
   */
  invokedAt?: Readonly<Record<string, number | null>>;
  /** How the keys and values of the whole text lie at its end. */
  kv: KvReport;
}

/** Where adapters are used: what the token takes of them. */
export interface TokenRank {
  level: number;
  /** Of that level, over all linears that change. */
  meanRank: number;
  /** Where ranks follow it. */
  complexity: number;
}

/** A token that might have come, or did. */
export interface TokenChance {
  /** Its text; of half a character U+FFFD, of a control token its name. */
  token: string;
  /** Its text in UTF-8; none of a control token. */
  bytes: readonly number[];
  /** Natural logarithm of its probability by the model's own logits: before temperature, penalties, bias and grammar. */
  logprob: number;
}

/** The token drawn, and the likeliest ones, most probable first. */
export interface TokenLogprobs extends TokenChance {
  top: readonly TokenChance[];
}

export type GenerateEvent =
  /**
   * `text` may be empty: half a character, or a possible beginning of a stop string. `ms` since the token before.
   * `entropy`: where wanted, of the raw distribution it was drawn from, over ln vocabSize, so from 0 to 1. `logprobs`:
   * where wanted, but of a token that ends the answer.
   */
  | ({
      type: 'token';
      token: number;
      text: string;
      /** Since the token before; of tokens that a step gave together, a share each. */
      ms: number;
      contextUsed: number;
      entropy?: number;
      logprobs?: TokenLogprobs;
    } & Partial<TokenRank>)
  | {
      type: 'end';
      text: string;
      finishReason: FinishReason;
      usage: Usage;
      /** Places in the answer's schema of keywords that no validator reads, and that were not enforced. */
      ignored: readonly string[];
      report: GenerationReport;
    };

/** Of one text. */
export interface TextEmbedding {
  /** `[hiddenSize]`, of length one unless an encoder leaves it as it is. */
  vector: Float32Array<ArrayBuffer>;
  tokens: number;
}

/** Of one `LabelRead`. */
export interface LabelScores {
  /** In the request. */
  read: number;
  /** `[labels]`: the natural logarithm of each label's probability as the answer's beginning, by the model's own logits. */
  logprobs: number[];
  /** The likeliest first token of an answer begins a label. */
  isLikeliest: boolean;
  /** Of the chat with the question. */
  promptTokens: readonly number[];
  /** Of the prompt's tokens, those whose keys and values were still in the cache. */
  cachedTokens: number;
  /** Of those that all reads of the request begin with, how many this one computed though another had: with other adapters. */
  readAgain: number;
}

/** Of one document beside a query. */
export interface DocumentScore {
  /** What the model's classifier gives, of any size; the higher, the more the document answers the query. */
  score: number;
  /** Of both. */
  tokens: number;
}
