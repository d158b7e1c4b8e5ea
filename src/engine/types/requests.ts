/** What is asked of an engine. */
import type { ChunkPlan } from '../../chunking/chunk-plan.ts';
import type { ChunkerOptions } from '../../chunking/chunker.ts';
import type { EstimatorName } from '../../chunking/complexity.ts';
import type { Ranks } from '../../chunking/planner.ts';
import type { KvMap } from '../../cache/kv-map.ts';
import type { KvOptions } from '../../cache/kv-options.ts';
import type { ResponseFormat } from '../../grammar/response-format.ts';
import type { SamplingOptions } from '../../config/sampling.ts';
import type { ToolDefinition } from '../../tokenizer/chat-template.ts';
import type { PlanEvent } from './answers.ts';

/** An adapter by the name it was loaded under. */
export interface AdapterUse {
  name: string;
  scale: number;
}

/** How many ranks of its adapters each token gets; nothing of it matters without adapters. */
export interface RankOptions {
  /** Default: `chunkwise`. The others are controls; see `Ranks`. */
  ranks?: Ranks;
  /** What tells how hard a token of a prompt is; default `openness`. */
  estimator?: EstimatorName;
  /** Gives `uniform` the mean rank that `chunkwise` would have. */
  equalMeanRank?: boolean;
  /** What the lowest level may lose of the adapter's delta, relative L2 in [0, 1]; default 0.41, within fixed shares of the ranks. */
  rankErrorBudget?: number;
  chunks?: Partial<ChunkerOptions>;
  /** Tokens from one chunk's rank to the next one's; default 4. */
  rampWidth?: number;
  /** Of `shuffled`. */
  planSeed?: number;
  /** A recorded plan, which is followed instead. It must be of the same text. */
  plan?: ChunkPlan;
}

export interface GenerateOptions extends RankOptions, KvOptions {
  /** Most tokens to answer with; default: what the context still holds. */
  maxTokens?: number;
  sampling: SamplingOptions;
  /** The answer ends before the first of these. */
  stop: readonly string[];
  /** What the answer must look like; default: anything. */
  responseFormat?: ResponseFormat;
  /** Tells each token's log-probability, and this many of the likeliest tokens with theirs (0 to 20). */
  topLogprobs?: number;
  /**
   * Whether tokens that the text so far, or a draft model, suggests are verified several at a time, where that is faster;
   * default false. The answer is the same, but where two tokens are as likely as each other to the last digits: steps of many
   * round otherwise.
   */
  speculate?: boolean;
  /**
   * Whether all of the prompt is computed, though the cache may hold some of it, once what answers of any length need is
   * compiled, as where times are compared; default false.
   */
  recomputePrompt?: boolean;
  /** One more answer to a request that is being answered: it waits for its turn however many do. */
  isFurther?: boolean;
  /** Loaded adapters to answer with, summed; default: none. */
  adapters?: readonly AdapterUse[];
  /** Says of each token how sure the model was of it. */
  wantsEntropy?: boolean;
  /** Told of the plan as it is made, and in decoding as the GPU chooses. */
  onPlan?: (event: PlanEvent) => void;
  /** Told how the keys and values of the text lie, after a batch of the prompt or a token with which that has changed. */
  onKv?: (map: KvMap) => void;
  signal?: AbortSignal;
}

/** Functions that the model is told of; what it calls stands in its text. */
export interface ChatTools {
  tools?: readonly ToolDefinition[] | undefined;
}

/** A question behind a chat, answered with one of some labels. */
export interface LabelRead {
  /** Stands at the end of the user's last turn, behind an empty line; where another's turn is the last, in one of its own. */
  text: string;
  /** What the answer may be. None is the beginning of another, in tokens. */
  labels: readonly string[];
  /** Loaded adapters to read with, with all of their ranks; default: none. */
  adapters?: readonly AdapterUse[];
}

export interface EmbedOptions {
  /** Loaded adapters to compute with, with all of their ranks; default: none. */
  adapters?: readonly AdapterUse[];
  signal?: AbortSignal;
}
