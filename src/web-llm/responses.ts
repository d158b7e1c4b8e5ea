import type {
  ChatCompletion,
  ChatCompletionChunk,
  Completion,
  CompletionUsage,
  CreateEmbeddingResponse,
} from '@mlc-ai/web-llm';
import type * as Own from '../api/types.ts';

// Responses as web-llm types them: they have OpenAI's shapes on both sides, but for web-llm's timings in the usage.

export function chatOf({ chunkwise, usage, ...rest }: Own.ChatCompletion): ChatCompletion {
  return { ...rest, usage: usageOf(usage, chunkwise) };
}

export function chunkOf({ chunkwise, usage, ...rest }: Own.ChatCompletionChunk): ChatCompletionChunk {
  return { ...rest, ...(usage && chunkwise && { usage: usageOf(usage, chunkwise) }) };
}

/** Without log-probabilities: to ask for them as web-llm has it (`logprobs: true`) is refused. */
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
    // Its types have no base64, though its requests do.
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

/** Of the last answer; empty before the first. */
export function statsText(report: Own.AnswerReport | undefined): string {
  if (report?.answeredBy !== 'device') return '';
  return `first token: ${report.ttftMs.toFixed(0)} ms, decoding: ${report.tokensPerSecond.toFixed(4)} tokens/sec`;
}
