import type {
  ChatCompletion,
  ChatCompletionChunk,
  ChatOptions,
  Completion,
  CompletionUsage,
  CreateEmbeddingResponse,
  InitProgressCallback,
  ResponseFormat,
} from '@mlc-ai/web-llm';
import type * as Own from '../api/index.ts';
import { isSamplingField } from '../api/requests.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** web-llm declares the tag with a type from a package that it does not install. */
type Format = Omit<ResponseFormat, 'structural_tag'> & { structural_tag?: unknown };

/** Converts web-llm's response format, whose schemas are text, to OpenAI's. Throws `bad_request`. */
export function ownFormat({ type = 'text', schema, grammar = '', structural_tag: tag }: Format): Own.ResponseFormat {
  if (type === 'grammar') return { type, grammar };
  if (type === 'json_object' && schema !== undefined)
    return { type: 'json_schema', json_schema: { name: 'answer', schema: parsed(schema, 'schema') as Own.JsonSchema } };
  if (type === 'structural_tag') {
    const format = typeof tag === 'string' ? parsed(tag, 'structural_tag') : tag;
    return { type, ...(isWhole(format) ? format : { format: format as object }) };
  }
  return { type };
}

/** Whether the tag is a whole definition, not only the format inside one. */
const isWhole = (tag: unknown): tag is { format: object } => typeof tag === 'object' && tag !== null && 'format' in tag;

function parsed(text: string, field: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ChunkwiseError(
      'bad_request',
      { field: `response_format.${field}`, reason: `is not JSON: ${String(cause)}` },
      { cause },
    );
  }
}

// Both sides have responses in OpenAI's shapes; web-llm adds timings to the usage.

export function chatOf({ chunkwise, usage, ...rest }: Own.ChatCompletion): ChatCompletion {
  return { ...rest, usage: usageOf(usage, chunkwise) };
}

export function chunkOf({ chunkwise, usage, ...rest }: Own.ChatCompletionChunk): ChatCompletionChunk {
  return { ...rest, ...(usage && chunkwise && { usage: usageOf(usage, chunkwise) }) };
}

/** Drops log-probabilities: web-llm's way to ask for them (`logprobs: true`) is refused. */
export function completionOf({ chunkwise, usage, choices, ...rest }: Own.Completion): Completion {
  return {
    ...rest,
    choices: choices.map((choice) => ({ ...choice, logprobs: null })),
    ...(usage && chunkwise && { usage: usageOf(usage, chunkwise) }),
  };
}

export function embeddingsOf(
  { chunkwise: _, usage, data, ...rest }: Own.EmbeddingResponse,
  seconds: number,
): CreateEmbeddingResponse {
  return {
    ...rest,
    // web-llm's response types leave out base64, which its requests allow.
    data: data.map((each) => ({ ...each, embedding: each.embedding as number[] })),
    usage: { ...usage, extra: { prefill_tokens_per_s: usage.prompt_tokens / seconds } },
  };
}

function usageOf(usage: Own.Usage, report: Own.AnswerReport): CompletionUsage {
  const { prompt_tokens, completion_tokens, total_tokens } = usage;
  const { ttftMs = NaN, msPerToken, tokensPerSecond = NaN } = report;
  const firstToken = ttftMs / 1000;
  const perToken = (msPerToken?.median ?? NaN) / 1000;
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens,
    extra: {
      e2e_latency_s: firstToken + perToken * Math.max(0, completion_tokens - 1),
      prefill_tokens_per_s: prompt_tokens / firstToken,
      decode_tokens_per_s: tokensPerSecond,
      time_to_first_token_s: firstToken,
      time_per_output_token_s: perToken,
    },
  };
}

/** Describes the speed of the last answer; empty before the first. */
export function statsText(report: Own.AnswerReport | undefined): string {
  if (report?.answeredBy !== 'device') return '';
  return `first token: ${report.ttftMs.toFixed(0)} ms, decoding: ${report.tokensPerSecond.toFixed(4)} tokens/sec`;
}

/** Reports loading as web-llm does: progress from 0 to 1, seconds, and a line to show. */
export function initProgress(tell: InitProgressCallback): (progress: Own.LoadProgress) => void {
  const start = performance.now();
  return ({ phase, bytes, total, kernels }) => {
    const timeElapsed = Math.round((performance.now() - start) / 1000);
    const [done, all] = kernels ? [kernels.compiled, kernels.total] : [bytes, total];
    const progress = all === 0 ? 0 : done / all;
    const counts = kernels ? `${done} of ${all} kernels` : `${Math.round(done / 1e6)} of ${Math.round(all / 1e6)} MB`;
    const share = all === 0 ? '' : `: ${counts}`;
    tell({ progress, timeElapsed, text: `Loading model, ${phase}${share}, ${timeElapsed} s elapsed` });
  };
}

/**
 * Converts web-llm's overrides of a model's config: sampling options become defaults of requests. Throws `unsupported` for
 * overrides that have no counterpart here.
 */
export function requestDefaults(options: ChatOptions): { contextLength: number | undefined; defaults: object } {
  const { context_window_size: contextLength, ...rest } = options;
  const fields = Object.entries(rest).filter(([, value]) => value !== undefined && value !== null);
  for (const [name] of fields) {
    if (isSamplingField(name)) continue;
    const reason = 'belongs to the config of models in MLC format, and this model has another format';
    throw new ChunkwiseError('unsupported', { field: `chatOpts.${name}`, reason });
  }
  // MLC writes −1 for models with a sliding window instead of a context length.
  return { contextLength: contextLength === -1 ? undefined : contextLength, defaults: Object.fromEntries(fields) };
}
