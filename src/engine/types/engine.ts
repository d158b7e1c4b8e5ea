/** The engine itself: what it is opened with, and what it does. */
import type { DecisionTemperatures } from '../../adapters/formats/adapter-config.ts';
import type { AdapterSource } from '../../adapters/formats/adapter-header.ts';
import type { LadderBuilder } from '../../adapters/ladder/adapter-ladder.ts';
import type { CacheStore, SavedFile } from '../../cache/saved-cache.ts';
import type { MemoryReport } from '../../config/memory-report.ts';
import type { Grammars, GrammarVocabulary } from '../../grammar/token-grammar.ts';
import type { ChatTurn } from '../../tokenizer/chat-template.ts';
import type { ChatTraits } from '../../tokenizer/chat-traits.ts';
import type { SessionOptions } from '../../session/session-options.ts';
import type { ByteSource } from '../../weights/byte-source.ts';
import type { PlanService } from '../plan-service.ts';
import type { ChatTools, EmbedOptions, GenerateOptions, LabelRead } from './requests.ts';
import type { DocumentScore, GenerateEvent, LabelScores, TextEmbedding } from './answers.ts';

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
  /**
   * Of an activated adapter (aLoRA): a request that names it runs on the base alone up to where these tokens last begin in
   * its text, and wholly where it has none.
   */
  invocationTokens?: readonly number[];
  /** What comes with it for the answers of `decisions`, by type of question: `decision_temperatures` of its config. */
  decisionTemperatures?: DecisionTemperatures;
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

export interface EngineCoreOptions extends SessionOptions {
  /** The files of a smaller model of the same tokens, which drafts answers; default: they are drafted by their text alone. Kept. */
  draftModel?: readonly ByteSource[] | undefined;
  queueLimit?: number;
  /** Milliseconds for which an answer may go unread before it gives up its place; default 30,000. See `unlessAbandoned`. */
  readTimeoutMs?: number;
  /** How adapters are computed; `unfused` is the plain form, two products and an add a linear. Default: `fused`. */
  lora?: 'fused' | 'unfused';
  /** Where computed texts are saved; default: nowhere. */
  savedCaches?: CacheStore;
  /** How rank ladders are built; default: here and now. */
  buildLadders?: LadderBuilder;
  /** Opens the grammars of this model's answers; default: a request for one is refused. `vocabulary` is asked with the first. */
  openGrammars?: (vocabulary: () => GrammarVocabulary) => Grammars;
  /** How prompts are planned; default: here, between two steps. */
  plans?: PlanService;
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

/** The engine as the worker, and Node, hold it: no threads, no OpenAI shapes. Made by `openEngine`. */
export interface EngineCore {
  readonly model: string;
  readonly contextLength: number;
  readonly device: string;
  readonly chatTraits: ChatTraits;
  /**
   * As many requests run side by side as the streams and the cache allow, each with what it may come to need; the rest
   * wait in order, `queue_full` beyond the queue's limit. Ending the iteration early aborts. One that is not read for
   * `readTimeoutMs` gives up its place, and reading on throws `abandoned`.
   */
  chat(messages: readonly ChatTurn[], options: GenerateOptions & ChatTools): AsyncGenerator<GenerateEvent, void>;
  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void>;
  /**
   * Embeds texts, or tokens, each at most a context long; an encoder several at once. Errors: `bad_request`,
   * `context_overflow`, naming the text, before any is computed; `queue_full`, `aborted`, `abandoned`, `device_lost`.
   */
  embed(inputs: readonly (string | readonly number[])[], options: EmbedOptions): AsyncGenerator<TextEmbedding, void>;
  /**
   * Scores documents, in their order, by how well they answer a query: of cross-encoders, otherwise `unsupported`. Nothing is
   * cut. Errors: `context_overflow`, naming document or query, before any is scored; `queue_full`, `aborted`, `abandoned`, `device_lost`.
   */
  rerank(
    query: string,
    documents: readonly string[],
    options: { signal?: AbortSignal },
  ): AsyncGenerator<DocumentScore, void>;
  /**
   * Scores what a chat may be answered with, thinking off; what the reads have in common is read once for all that begin with the
   * base. In any order. Errors: `bad_request` for an adapter, or for labels that begin one another; `unsupported` where answers
   * begin with reasoning; `context_overflow`; `queue_full`, `aborted`, `abandoned`, `device_lost`.
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
