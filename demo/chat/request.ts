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

/** Stored measurements of an answer. */
export interface Measured {
  tokens: number;
  promptTokens: number;
  cachedTokens: number;
  ttftMs: number;
  /** Speed of the tokens after the first; 0 if there are none. */
  tokensPerSecond: number;
  /** Tokens per step; older answers have none. */
  tokensPerStep?: number;
  kvBytes: number;
  meanRank?: number;
}

/** A streamed part of an answer. */
export interface Piece {
  /** Id of the response. */
  id: string;
  text: string;
  isCut: boolean;
  /** In the last part. */
  measured?: Measured;
}

/** A conversation to answer, or a text to continue. */
export type Asked = { messages: ChatMessage[] } | { prompt: string };

/**
 * `chunkwise`: ranks, cache and speculation from the settings; `ordinary`: all ranks, 16 bits and one token per step,
 * as in ordinary LoRA.
 */
export type Way = 'chunkwise' | 'ordinary';

/** Settings of an answer's request. */
export interface Recipe {
  settings: Settings;
  adapter: ChosenAdapter | undefined;
  way: Way;
  /** Computes the whole prompt without the prefix cache. */
  isCompared?: boolean;
}

/** If the form of the cache is the page's default, a model that supports only 16 bits uses that. */
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

/** Measurements of an answer in a line. */
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
    `first token after ${formatMs(ttftMs)}`,
    ...(tokensPerSecond > 0 ? [formatRate(tokensPerSecond)] : []),
    // Drafts were accepted.
    ...(tokensPerStep >= 1.05 ? [`${tokensPerStep.toFixed(1)} per step`] : []),
    `KV cache ${formatBytes(kvBytes)}`,
    ...(meanRank === undefined ? [] : [`mean rank ${formatRank(meanRank)}`]),
    ...(cachedTokens > 0 ? [`${formatCount(cachedTokens)} of ${formatCount(promptTokens)} prompt tokens reused`] : []),
  ].join(' · ');
}
