import type { GenerateEvent } from '../engine/types.ts';
import { type AnswerReader, joinDeltas } from './chat/answer-reader.ts';
import type { AnswerReport, ChatCompletion, ChatCompletionChunk, Completion, Usage } from './types.ts';

type End = Extract<GenerateEvent, { type: 'end' }>;
type Head = { id: string; created: number; model: string };

/** What all parts of one response share. */
export function responseHead(kind: 'chatcmpl' | 'cmpl', model: string): Head {
  return { id: `${kind}-${crypto.randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
}

/** An answer as OpenAI's chat chunks: the role, the text, the finish reason, and the usage where it was asked for. */
export async function* chatChunks(
  head: Head,
  events: AsyncIterable<GenerateEvent>,
  includeUsage: boolean,
  reader: AnswerReader,
): AsyncGenerator<ChatCompletionChunk, void> {
  const shared = { ...head, object: 'chat.completion.chunk' as const, ...(includeUsage && { usage: null }) };
  type Choice = ChatCompletionChunk['choices'][number];
  const chunk = (delta: Choice['delta'], finish_reason: Choice['finish_reason'] = null): ChatCompletionChunk => ({
    ...shared,
    choices: [{ index: 0, delta, finish_reason, logprobs: null }],
  });
  let begun = false;
  for await (const event of events) {
    if (!begun) yield chunk({ role: 'assistant', content: '' });
    begun = true;
    for (const delta of reader.push(event.text)) yield chunk(delta);
    if (event.type === 'token') continue;
    for (const delta of reader.flush()) yield chunk(delta);
    const chunkwise = reportOf(event);
    const last = chunk({}, reader.finishReason(event.finishReason));
    if (!includeUsage) yield { ...last, chunkwise };
    else {
      yield last;
      yield { ...shared, choices: [], usage: usageOf(event), chunkwise };
    }
  }
}

/** An answer as OpenAI's text completion chunks, the usage last where it was asked for. */
export async function* completionChunks(
  head: Head,
  events: AsyncIterable<GenerateEvent>,
  includeUsage: boolean,
): AsyncGenerator<Completion, void> {
  const shared = { ...head, object: 'text_completion' as const, ...(includeUsage && { usage: null }) };
  type Choice = Completion['choices'][number];
  const chunk = (text: string, finish_reason: Choice['finish_reason'] = null): Completion => ({
    ...shared,
    choices: [{ index: 0, text, finish_reason, logprobs: null }],
  });
  for await (const event of events) {
    if (event.type === 'token') {
      if (event.text !== '') yield chunk(event.text);
      continue;
    }
    const chunkwise = reportOf(event);
    if (!includeUsage) yield { ...chunk(event.text, event.finishReason), chunkwise };
    else {
      yield chunk(event.text, event.finishReason);
      yield { ...shared, choices: [], usage: usageOf(event), chunkwise };
    }
  }
}

export async function wholeChat(
  head: Head,
  events: AsyncIterable<GenerateEvent>,
  reader: AnswerReader,
): Promise<ChatCompletion> {
  const { text, end } = await collect(events);
  const message = joinDeltas([...reader.push(text), ...reader.flush()]);
  return {
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message, finish_reason: reader.finishReason(end.finishReason), logprobs: null }],
    usage: usageOf(end),
    chunkwise: reportOf(end),
  };
}

export async function wholeCompletion(head: Head, events: AsyncIterable<GenerateEvent>): Promise<Completion> {
  const { text, end } = await collect(events);
  return {
    ...head,
    object: 'text_completion',
    choices: [{ index: 0, text, finish_reason: end.finishReason, logprobs: null }],
    usage: usageOf(end),
    chunkwise: reportOf(end),
  };
}

async function collect(events: AsyncIterable<GenerateEvent>): Promise<{ text: string; end: End }> {
  const parts: string[] = [];
  for await (const event of events) {
    parts.push(event.text);
    if (event.type === 'end') return { text: parts.join(''), end: event };
  }
  throw new Error('the answer has no end');
}

const reportOf = ({ report }: End): AnswerReport => ({ answeredBy: 'device', ...report });

function usageOf({ usage }: End): Usage {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
  };
}
