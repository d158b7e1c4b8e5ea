import type { Chunk, ChunkPlan } from '../chunking/chunk-plan.ts';
import type { ChunkerOptions } from '../chunking/chunker.ts';
import type { EstimatorName } from '../chunking/complexity.ts';
import type { Ranks } from '../chunking/planner.ts';
import type { PlannedPart } from '../chunking/prompt-plan.ts';
import type { AdapterSource } from '../adapters/adapter-header.ts';
import type { LadderBuilder } from '../adapters/adapter-ladder.ts';
import type { KvMap } from '../cache/kv-map.ts';
import type { KvOptions } from '../cache/kv-options.ts';
import type { KvReport } from '../cache/kv-report.ts';
import type { CacheStore, SavedFile } from '../cache/saved-cache.ts';
import type { MemoryReport } from '../config/memory-report.ts';
import type { ResponseFormat } from '../grammar/response-format.ts';
import type { LoadXgrammar } from '../grammar/xgrammar.ts';
import type { SamplingOptions } from '../config/sampling.ts';
import type { ChatTurn, ToolDefinition } from '../tokenizer/chat-template.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import type { Wait } from '../gpu/device.ts';
import type { PlanService } from './plan-service.ts';
import type { ByteSource } from '../weights/byte-source.ts';
import type { WeightType } from '../weights/quantize.ts';

export type FinishReason = 'stop' | 'length';

/** An adapter by the name it was loaded under. */
export interface AdapterUse {
  name: string;
  scale: number;
}

export interface AdapterInfo {
  name: string;
  /** Highest rank of its modules. */
  rank: number;
  /** Linears it changes. */
  modules: number;
  /** GPU bytes. */
  bytes: number;
  /** Of its modules, by layer. */
  spectra: readonly AdapterSpectrum[];
  /** What is odd about it, though it can be used. */
  warnings: readonly string[];
}

/** How much of a linear's change each of its ranks carries. */
export interface AdapterSpectrum {
  /** As in the base's GGUF file: `blk.3.attn_q`. */
  name: string;
  /** The numerical rank; the file's may be higher. */
  rank: number;
  /** `[rank]`, descending: the square of each is what that rank adds to the squared size of the change. */
  singularValues: readonly number[];
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

export interface Usage {
  promptTokens: number;
  /** Of the prompt's tokens, those whose keys and values were still in the cache. */
  cachedTokens: number;
  completionTokens: number;
}

/** How an answer was computed. Times in milliseconds. */
export interface GenerationReport {
  ttftMs: number;
  /** Of the tokens after the first. */
  msPerToken: { median: number; p95: number };
  tokensPerSecond: number;
  dispatchesPerToken: number;
  dispatchesPerLayer: number;
  /** Ranks read of the adapters, as the GPU counted: mean over the tokens computed and the linears that change. */
  meanRank?: number;
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
      ms: number;
      contextUsed: number;
      entropy?: number;
      logprobs?: TokenLogprobs;
    } & Partial<TokenRank>)
  | { type: 'end'; text: string; finishReason: FinishReason; usage: Usage; report: GenerationReport };

/** When a batch of a prompt was planned and computed: times of performance.now(). */
export interface BatchTrace {
  /** Its first token, and the one after its last. */
  start: number;
  end: number;
  planBegan: number;
  planEnded: number;
  /** From when the batch could have been recorded to when its plan was there. */
  waitedMs: number;
  submitted: number;
  completed: number;
}

export interface LoadProgress {
  /** `verify`: what is stored is read and held against its checksums. */
  phase: 'header' | 'download' | 'verify' | 'upload' | 'compile';
  /** Bytes done and to do; 0 of 0 where a phase has none. */
  bytes: number;
  total: number;
  /** Bytes a second, lately, and seconds that the phase will still take at that rate; absent until they are known. */
  rate?: number;
  timeLeft?: number;
}

export interface EngineCoreOptions {
  gpu: GPU | undefined;
  /** The model: one file, or all parts of a split one. Kept: a lost device is rebuilt from them. */
  sources: readonly ByteSource[];
  contextLength?: number;
  memoryLimitBytes?: number;
  /** What a safetensors model's matrices become; see `ModelLimits`. */
  weights?: WeightType;
  queueLimit?: number;
  /** How adapters are computed; `unfused` is the plain form, two products and an add a linear. Default: `fused`. */
  lora?: 'fused' | 'unfused';
  /** Where computed texts are saved; default: nowhere. */
  savedCaches?: CacheStore;
  /** How rank ladders are built; default: here and now. */
  buildLadders?: LadderBuilder;
  /** Brings what grammars need; default: there are none. */
  loadXgrammar?: LoadXgrammar;
  /** How prompts are planned; default: here, between two steps. */
  plans?: PlanService;
  /** Told of each batch of a prompt when it is computed. */
  onTrace?: (batch: BatchTrace) => void;
  onProgress?: (progress: LoadProgress) => void;
  onDeviceLost?: (reason: string) => void;
  signal?: AbortSignal;
  wait?: Wait;
  /** For tests of the kernel variants an adapter would not get. */
  without?: readonly ('shader-f16' | 'subgroups')[];
  deviceClass?: 'cpu' | 'gpu';
}

/** Of a computed text: its tokens, and the bytes that it takes where it is saved. */
export interface SavedSize {
  tokens: number;
  bytes: number;
}

/** Computed texts that outlast a visit. Errors of all: `unsupported` where there is no place to save to. */
export interface SavedCaches {
  /**
   * Saves the keys and values of the text that was computed last, once no request runs, in place of what `name` had.
   * Errors: `bad_request` when none is in the cache; `unsupported` when it follows a recorded plan or tokens of it were
   * given up; `over_limit` when the storage is full; `queue_full`, `device_lost`.
   */
  save(name: string): Promise<SavedSize>;
  /**
   * Puts a saved text among those that requests go on from: one that begins with the same tokens, with the same adapters
   * and the same form of cache. Errors: `bad_request` for an unknown name; `bad_file` for a damaged file, one of another
   * version or model; `context_overflow`, `queue_full`. What is in the cache is then as it was.
   */
  load(name: string): Promise<SavedSize>;
  list(): Promise<SavedFile[]>;
  /** Errors: `bad_request` for an unknown name. */
  delete(name: string): Promise<void>;
}

/** Functions that the model is told of; what it calls stands in its text. */
export interface ChatTools {
  tools?: readonly ToolDefinition[] | undefined;
}

export interface EmbedOptions {
  /** Loaded adapters to compute with, with all of their ranks; default: none. */
  adapters?: readonly AdapterUse[];
  signal?: AbortSignal;
}

/** Of one text. */
export interface Embedding {
  /** `[hiddenSize]`, of length one. */
  vector: Float32Array<ArrayBuffer>;
  tokens: number;
}

/** The engine as the worker, and Node, hold it: no threads, no OpenAI shapes. Made by `openEngine`. */
export interface EngineCore {
  readonly model: string;
  readonly contextLength: number;
  readonly device: string;
  readonly chatTraits: ChatTraits;
  /**
   * As many requests run side by side as the streams and the cache allow, each with what it may come to need; the rest
   * wait in order, `queue_full` beyond the queue's limit. Ending the iteration early aborts.
   */
  chat(messages: readonly ChatTurn[], options: GenerateOptions & ChatTools): AsyncGenerator<GenerateEvent, void>;
  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void>;
  /**
   * Embeds texts, or tokens, one after the other; each is at most a context long. Errors: `bad_request`,
   * `context_overflow`, naming the text, before any is computed; `queue_full`, `aborted`, `device_lost`.
   */
  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<Embedding, void>;
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
