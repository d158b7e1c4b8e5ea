import type { DecisionTemperatures } from '../adapters/adapter-config.ts';
import type { AdapterSource } from '../adapters/adapter-header.ts';
import type { LadderBuilder } from '../adapters/rank-ladder.ts';
import type { KvMap, KvReport } from '../cache/kv-cache.ts';
import type { KvOptions } from '../cache/policy.ts';
import type { CacheStore, SavedFile } from '../cache/saved-cache.ts';
import type { ChunkPlan, Chunk } from '../chunking/chunk-plan.ts';
import type { ChunkerOptions } from '../chunking/chunker.ts';
import type { EstimatorName } from '../chunking/complexity.ts';
import type { Ranks } from '../chunking/planner.ts';
import type { PlannedPart } from '../chunking/prompt-plan.ts';
import type { MemoryReport } from '../gpu/buffers.ts';
import type { SamplingOptions } from '../config/sampling.ts';
import type { ResponseFormat } from '../grammar/response-format.ts';
import type { Grammars, GrammarVocabulary } from '../grammar/token-grammar.ts';
import type { SessionOptions } from '../session/session-options.ts';
import type { ToolDefinition, ChatDocument, ChatTurn } from '../tokenizer/chat-template.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { PlanService } from './plan-service.ts';

/** Requests. */

/** An adapter by the name it was loaded under. */
export interface AdapterUse {
  name: string;
  scale: number;
}

/** How many ranks of its adapters each token gets. Without adapters these options have no effect. */
export interface RankOptions {
  /** Default: `chunkwise`. The others are controls; see `Ranks`. */
  ranks?: Ranks;
  /** Estimates how hard each token of a prompt is; default `ngramEntropy`. */
  estimator?: EstimatorName;
  /** Gives `uniform` the mean rank that `chunkwise` would have. */
  equalMeanRank?: boolean;
  /**
   * The share of the adapter's delta that the lowest rank level may lose, relative L2 in [0, 1]; default 0.41, within
   * fixed shares of the ranks.
   */
  rankErrorBudget?: number;
  chunks?: Partial<ChunkerOptions>;
  /** Tokens over which the rank changes from one chunk to the next; default 4. */
  rampWidth?: number;
  /** Seed of `shuffled`. */
  planSeed?: number;
  /** A recorded plan to follow. It must be of the same text. */
  plan?: ChunkPlan;
}

export interface GenerateOptions extends RankOptions, KvOptions {
  /** Most tokens of the answer; default: the rest of the context. */
  maxTokens?: number;
  sampling: SamplingOptions;
  /** The answer ends before the first of these. */
  stop: readonly string[];
  /** The format of the answer; default: any text. */
  responseFormat?: ResponseFormat;
  /** Adds to each token its log-probability, and those of this many of the likeliest tokens (0 to 20). */
  topLogprobs?: number;
  /**
   * Verifies several drafted tokens in one step if that is faster; the text so far or a draft model drafts them.
   * Default: false. The answer is the same, unless two tokens are equally likely to the last digits: steps of several
   * tokens round differently.
   */
  speculate?: boolean;
  /**
   * Computes the whole prompt even if the cache holds a prefix, and compiles every kernel that an answer of any
   * length needs first; for comparisons of times. Default: false.
   */
  recomputePrompt?: boolean;
  /** Another answer to a request that runs already: the queue's limit does not count it. */
  isFurther?: boolean;
  /** Loaded adapters to answer with, summed; default: none. */
  adapters?: readonly AdapterUse[];
  /** Adds to each token how certain the model was. */
  wantsEntropy?: boolean;
  /** Called with each part of the plan as it is made, and with each chunk whose level the GPU chose. */
  onPlan?: (event: PlanEvent) => void;
  /** Called with the forms of the text's cache pages, after each prompt batch and each token that changed them. */
  onKv?: (map: KvMap) => void;
  signal?: AbortSignal;
}

/** What the prompt shows beside the messages. */
export interface ChatExtras {
  /** Functions that the prompt lists; the model's calls are part of its text. */
  tools?: readonly ToolDefinition[] | undefined;
  /** Texts that the model may answer from. */
  documents?: readonly ChatDocument[] | undefined;
}

/** A question after a chat, answered with one of several labels. */
export interface LabelRead {
  /**
   * Added to the user's last turn after an empty line; if the last turn is another's, it becomes a turn of its
   * own.
   */
  text: string;
  /** Possible answers. None may be a prefix of another, in tokens. */
  labels: readonly string[];
  /** Loaded adapters to read with, at full rank; default: none. */
  adapters?: readonly AdapterUse[];
}

export interface EmbedOptions {
  /** Loaded adapters to compute with, at full rank; default: none. */
  adapters?: readonly AdapterUse[];
  signal?: AbortSignal;
}

/** Answers. */

export type FinishReason = 'stop' | 'length';

/** A chunk with the mean rank of its level over all linears of the request's adapters. */
export interface PlannedChunk extends Chunk {
  meanRank: number;
}

/** Tokens whose ranks are planned, and the chunks that end with them. Positions count from the start of the text. */
export interface PlanEvent extends PlannedPart {
  /** Text of each token; U+FFFD for a part of a character. */
  texts: string[];
  chunks: PlannedChunk[];
  /** Mean rank of each rank level, and the rule that made the levels. */
  ladder: ChunkPlan['ladder'];
  levels: ChunkPlan['levels'];
}

export interface Usage {
  promptTokens: number;
  /** Tokens of the prompt whose keys and values were in the cache. */
  cachedTokens: number;
  completionTokens: number;
  /** Tokens of the completion that the answer's format left no choice of, and that shared a step. */
  forcedTokens: number;
}

/** How an answer was computed. Times in milliseconds. */
export interface GenerationReport {
  ttftMs: number;
  /** Time per token after the first. */
  msPerToken: { median: number; p95: number };
  tokensPerSecond: number;
  /** Tokens per decode step: above one if drafts were right. */
  tokensPerStep: number;
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
  /** Mean rank that the GPU counted, over the computed tokens and the linears that adapters change. */
  meanRank?: number;
  /**
   * Start of each activated adapter, by name: the position of its invocation in the prompt; null if the prompt has none,
   * so that the adapter took no part.
   */
  invokedAt?: Readonly<Record<string, number | null>>;
  /** Forms of the text's cache pages at the end. */
  kv: KvReport;
}

/** The share of the adapters that a token takes. */
export interface TokenRank {
  level: number;
  /** Mean rank of that level, over all linears that adapters change. */
  meanRank: number;
  /** The complexity that ranks follow. */
  complexity: number;
}

/** A token and its probability. */
export interface TokenChance {
  /** Its text; U+FFFD for a part of a character, the name of a control token. */
  token: string;
  /** Its text in UTF-8; empty for a control token. */
  bytes: readonly number[];
  /**
   * Natural logarithm of its probability by the model's own logits: before temperature, penalties, bias and grammar.
   */
  logprob: number;
}

/** The sampled token, and the likeliest tokens, most probable first. */
export interface TokenLogprobs extends TokenChance {
  top: readonly TokenChance[];
}

export type GenerateEvent =
  /**
   * `text` may be empty: a part of a character, or the possible start of a stop string. `entropy`, if requested:
   * of the raw distribution that the token was sampled from, over ln vocabSize, in [0, 1]. `logprobs`, if
   * requested: for every token but one that ends the answer.
   */
  | ({
      type: 'token';
      token: number;
      text: string;
      /** Since the token before; tokens of one step share its time. */
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
      /** Paths of keywords in the answer's schema that validators ignore, and that were not enforced. */
      ignored: readonly string[];
      report: GenerationReport;
    };

/** The embedding of one text. */
export interface TextEmbedding {
  /** `[hiddenSize]`, of length one unless the encoder does not normalize. */
  vector: Float32Array<ArrayBuffer>;
  tokens: number;
}

/** The result of one `LabelRead`. */
export interface LabelScores {
  /** Index of the read in the request. */
  read: number;
  /**
   * `[labels]`: natural logarithm of the probability that the answer starts with each label, by the model's own
   * logits.
   */
  logprobs: number[];
  /** Whether the likeliest first token of an answer starts a label. */
  isLikeliest: boolean;
  /** Tokens of the chat with the question. */
  promptTokens: readonly number[];
  /** Tokens of the prompt whose keys and values were in the cache. */
  cachedTokens: number;
  /** Tokens of the prefix shared by all reads that this read computed again, because it has other adapters. */
  readAgain: number;
}

/** The score of one document for a query. */
export interface DocumentScore {
  /** Output of the model's classifier, unbounded; higher means that the document answers the query better. */
  score: number;
  /** Tokens of query and document. */
  tokens: number;
}

/** The engine. */

export interface AdapterInfo {
  name: string;
  /** Highest rank of its modules. */
  rank: number;
  /** Linears that it changes. */
  modules: number;
  /** GPU bytes. */
  bytes: number;
  /** Spectra of its modules, by layer. */
  spectra: readonly AdapterSpectrum[];
  /**
   * Invocation of an activated adapter (aLoRA). A request that names the adapter runs on the base alone up to the
   * last occurrence of these tokens in its text, and wholly if there is none.
   */
  invocationTokens?: readonly number[];
  /** `decision_temperatures` of its config: temperatures for the answers of `decisions`, by type of question. */
  decisionTemperatures?: DecisionTemperatures;
  /** Oddities of the adapter that do not prevent its use. */
  warnings: readonly string[];
}

/** How much of a linear's delta each rank carries. */
export interface AdapterSpectrum {
  /** Name as in the base's GGUF file: `blk.3.attn_q`. */
  name: string;
  /** The numerical rank; the file's may be higher. */
  rank: number;
  /** `[rank]`, descending: the square of each is its share of the delta's squared norm. */
  singularValues: readonly number[];
}

export interface EngineCoreOptions extends SessionOptions {
  /**
   * Files of a smaller model with the same tokens that drafts answers; default: drafts come from the text alone.
   * Kept: a lost device is reopened from them.
   */
  draftModel?: readonly ByteSource[] | undefined;
  queueLimit?: number;
  /**
   * Milliseconds that a reader may pause before its answer ends and frees its slot; default 30,000. See `readQueue`.
   */
  readTimeoutMs?: number;
  /** How adapters are computed: `unfused` is the plain form, two products and an add per linear. Default: `fused`. */
  lora?: 'fused' | 'unfused';
  /** Store of computed texts; default: none. */
  savedCaches?: CacheStore;
  /** Builds rank ladders. There is no default, so that a worker whose threads build them does not contain that code. */
  buildLadders: LadderBuilder;
  /**
   * Opens the grammars of this model's answers; default: requests for one are refused. Calls `vocabulary` for the
   * first.
   */
  openGrammars?: (vocabulary: () => GrammarVocabulary) => Grammars;
  /** Plans prompts; likewise no default. */
  plans: PlanService;
}

/** Size of a computed text: its tokens, and its bytes in the store. */
export interface SavedSize {
  tokens: number;
  bytes: number;
}

/** Computed texts in a store. Every method throws `unsupported` if the engine has no store. */
export interface SavedCaches {
  /**
   * Saves the keys and values of the text computed last, once no request runs, and replaces the entry `name`. Errors:
   * `bad_request` when the cache is empty; `unsupported` when the text follows a recorded plan or tokens of it were
   * evicted; `over_limit` when the storage is full; `queue_full`, `device_lost`.
   */
  save(name: string): Promise<SavedSize>;
  /**
   * Adds a saved text to the prefix cache, for requests that start with the same tokens, with the same adapters and
   * cache policy. Errors: `bad_request` for an unknown name; `bad_file` for a damaged file, or one of another version
   * or model; `context_overflow`, `queue_full`. After an error the cache is unchanged.
   */
  load(name: string): Promise<SavedSize>;
  list(): Promise<SavedFile[]>;
  /** Errors: `bad_request` for an unknown name. */
  delete(name: string): Promise<void>;
}

/** The engine as a worker or Node holds it: no threads, no OpenAI shapes. Made by `openEngine`. */
export interface EngineCore {
  readonly model: string;
  readonly contextLength: number;
  readonly device: string;
  readonly chatTraits: ChatTraits;
  /**
   * Answers a chat. Requests run side by side as long as sequence slots and cache pages for all their tokens are
   * free; the others wait in order, and throw `queue_full` beyond the queue's limit. Leaving the iteration aborts. A
   * reader that pauses for `readTimeoutMs` loses its slot, and its next read throws `abandoned`.
   */
  chat(messages: readonly ChatTurn[], options: GenerateOptions & ChatExtras): AsyncGenerator<GenerateEvent, void>;
  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void>;
  /**
   * Embeds texts, or tokens, each at most a context long; an encoder computes several at once. Errors: `bad_request`,
   * `context_overflow`, naming the text, before any is computed; `queue_full`, `aborted`, `abandoned`, `device_lost`.
   */
  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<TextEmbedding, void>;
  /**
   * Scores documents, in order, by how well they answer a query; `unsupported` unless the model is a cross-encoder.
   * Cuts nothing. Errors: `context_overflow`, naming document or query, before any is scored; `queue_full`,
   * `aborted`, `abandoned`, `device_lost`.
   */
  rerank(
    query: string,
    documents: readonly string[],
    options: { signal?: AbortSignal },
  ): AsyncGenerator<DocumentScore, void>;
  /**
   * Scores possible answers to a chat, with thinking off, in any order. Reads share the prefix that they have in
   * common with the base. Errors: `bad_request` for an adapter, or for a label that is a prefix of another;
   * `unsupported` if every answer starts with reasoning; `context_overflow`; `queue_full`, `aborted`, `abandoned`,
   * `device_lost`.
   */
  scoreLabels(
    messages: readonly ChatTurn[],
    reads: readonly LabelRead[],
    options: { signal?: AbortSignal },
  ): AsyncGenerator<LabelScores, void>;
  countTokens(messages: readonly ChatTurn[]): number;
  /** Loads an adapter beside the model, unmerged. Errors: `bad_file`, `unsupported`, `bad_request`. */
  loadAdapter(name: string, source: AdapterSource): Promise<AdapterInfo>;
  /** Errors: `bad_request` for an unknown name, or one in use. */
  unloadAdapter(name: string): void;
  adapters(): AdapterInfo[];
  readonly savedCaches: SavedCaches;
  memory(): MemoryReport;
  /** Destroys every buffer; running requests end with `disposed`. */
  dispose(): void;
}
