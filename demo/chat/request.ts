import {
  type ChatMessage,
  ChunkwiseError,
  type CompletionOptions,
  type Engine,
  type GenerationReport,
  type Usage,
} from '../../src/api/index.ts';
import type { ChosenAdapter } from '../adapters/adapter-picker.ts';
import { formatBytes, formatCount, formatMs, formatRank, formatRate } from '../basics/format.ts';
import { kvOptions } from '../settings/kv-settings.ts';
import type { Settings } from '../settings/settings.ts';

/** What is kept of an answer's measurements. */
export interface Measured {
  tokens: number;
  promptTokens: number;
  cachedTokens: number;
  ttftMs: number;
  /** Of the tokens after the first; 0 where there are none. */
  tokensPerSecond: number;
  /** Tokens that a step gave; answers that were kept before have none. */
  tokensPerStep?: number;
  kvBytes: number;
  meanRank?: number;
}

/** A part of an answer, as it comes. */
export interface Piece {
  /** Of the response. */
  id: string;
  text: string;
  isCut: boolean;
  /** With the last one. */
  measured?: Measured;
}

/** What is asked: a conversation, or a text to be gone on with. */
export type Asked = { messages: ChatMessage[] } | { prompt: string };

/** The adapter's ranks, the cache and speculation as the settings have them, or all ranks, 16 bits and one token a step, as LoRA is commonly run. */
export type Way = 'chunkwise' | 'ordinary';

/** What an answer is to be computed with. */
export interface Recipe {
  settings: Settings;
  adapter: ChosenAdapter | undefined;
  way: Way;
  /** All of the prompt is computed, whatever is cached. */
  isCompared?: boolean;
}

/** Where the page's form of the cache is left as it is, a model that keeps all in 16 bits does so. */
export async function* answerPieces(
  engine: Engine,
  asked: Asked,
  recipe: Recipe,
  signal: AbortSignal,
): AsyncGenerator<Piece, void> {
  const { settings } = recipe;
  try {
    yield* pieces(engine, asked, recipe, signal);
  } catch (error) {
    const isOfCache = error instanceof ChunkwiseError && error.code === 'unsupported' && error.detail.field === 'kv';
    if (!isOfCache || settings.kv !== 'policy' || settings.kvMemory > 0) throw error;
    yield* pieces(engine, asked, { ...recipe, settings: { ...settings, kv: 'dense' } }, signal);
  }
}

async function* pieces(engine: Engine, asked: Asked, recipe: Recipe, signal: AbortSignal): AsyncGenerator<Piece, void> {
  const options = optionsOf(recipe);
  const chunks =
    'messages' in asked
      ? await engine.chat.completions.create({ ...asked, ...options }, { signal })
      : await engine.completions.create({ ...asked, ...options }, { signal });
  for await (const { id, choices, usage, chunkwise: report } of chunks) {
    const choice = choices[0];
    const text = (choice && ('delta' in choice ? choice.delta.content : choice.text)) ?? '';
    const measured = usage && report?.answeredBy === 'device' ? measuredOf(usage, report) : undefined;
    yield { id, text, isCut: choice?.finish_reason === 'length', ...(measured && { measured }) };
  }
}

function optionsOf({ settings, adapter, way, isCompared = false }: Recipe) {
  const { temperature, topP, topK, minP, presencePenalty, seed, maxTokens, speculate, ranks, adapterScale, ...cache } =
    settings;
  return {
    temperature,
    top_p: topP,
    top_k: topK,
    min_p: minP,
    presence_penalty: presencePenalty,
    max_tokens: maxTokens,
    speculate: speculate && way === 'chunkwise',
    stream: true as const,
    stream_options: { include_usage: true },
    ...(seed !== undefined && { seed }),
    ...(isCompared && { recomputePrompt: true }),
    ...(way === 'ordinary' ? { kv: 'dense' as const } : kvOptions(cache)),
    ...(adapter && {
      adapter: [{ name: adapter.name, scale: adapterScale }],
      ranks: way === 'ordinary' ? ('uniform' as const) : ranks,
    }),
  } satisfies CompletionOptions;
}

function measuredOf(
  usage: Usage,
  { ttftMs, tokensPerSecond, tokensPerStep, kv, meanRank }: GenerationReport,
): Measured {
  return {
    tokens: usage.completion_tokens,
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    ttftMs,
    tokensPerSecond,
    tokensPerStep,
    kvBytes: Object.values(kv.bytes).reduce((sum, bytes) => sum + bytes),
    ...(meanRank !== undefined && { meanRank }),
  };
}

/** What was measured of an answer, in a line. */
export function detailsOf({
  tokens,
  promptTokens,
  cachedTokens,
  ttftMs,
  tokensPerSecond,
  tokensPerStep = 1,
  kvBytes,
  meanRank,
}: Measured): string {
  return [
    `${formatCount(tokens)} tokens`,
    `first after ${formatMs(ttftMs)}`,
    ...(tokensPerSecond > 0 ? [formatRate(tokensPerSecond)] : []),
    // Drafts of the text so far were right.
    ...(tokensPerStep >= 1.05 ? [`${tokensPerStep.toFixed(1)} a step`] : []),
    `KV cache ${formatBytes(kvBytes)}`,
    ...(meanRank === undefined ? [] : [`mean rank ${formatRank(meanRank)}`]),
    ...(cachedTokens > 0 ? [`${formatCount(cachedTokens)} of ${formatCount(promptTokens)} prompt tokens reused`] : []),
  ].join(' · ');
}
