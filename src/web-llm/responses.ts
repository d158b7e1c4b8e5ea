import type { ChatCompletion, ChatCompletionChunk, Completion, CompletionUsage } from '@mlc-ai/web-llm';
import type * as Own from '../api/types.ts';

// Responses as web-llm types them: they have OpenAI's shapes on both sides, but for web-llm's timings in the usage.

export function chatOf({ chunkwise, usage, ...rest }: Own.ChatCompletion): ChatCompletion {
  return { ...rest, usage: usageOf(usage, chunkwise) };
}

export function chunkOf({ chunkwise, usage, ...rest }: Own.ChatCompletionChunk): ChatCompletionChunk {
  return { ...rest, ...(usage && chunkwise && { usage: usageOf(usage, chunkwise) }) };
}

export function completionOf({ chunkwise, usage, ...rest }: Own.Completion): Completion {
  return { ...rest, ...(usage && chunkwise && { usage: usageOf(usage, chunkwise) }) };
}

function usageOf(usage: Own.Usage, report: Own.GenerationReport): CompletionUsage {
  const { prompt_tokens, completion_tokens, total_tokens } = usage;
  const firstToken = report.ttftMs / 1000;
  const perToken = report.msPerToken.median / 1000;
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens,
    extra: {
      e2e_latency_s: firstToken + perToken * Math.max(0, completion_tokens - 1),
      prefill_tokens_per_s: prompt_tokens / firstToken,
      decode_tokens_per_s: report.tokensPerSecond,
      time_to_first_token_s: firstToken,
      time_per_output_token_s: perToken,
    },
  };
}

/** Of the last answer; empty before the first. */
export function statsText(report: Own.GenerationReport | undefined): string {
  if (report === undefined) return '';
  return `first token: ${report.ttftMs.toFixed(0)} ms, decoding: ${report.tokensPerSecond.toFixed(4)} tokens/sec`;
}
