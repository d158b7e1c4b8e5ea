import type { GenerateEvent, TokenLogprobs } from '../engine/types.ts';
import type { AnswerReader } from './chat/answer-reader.ts';
import { chatLogprobs, newPlaces, textLogprobs } from './logprobs.ts';
import type {
  AnswerDelta,
  AnswerMessage,
  AnswerReport,
  ChatCompletion,
  ChatCompletionChunk,
  Completion,
  Usage,
} from './types.ts';

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
  newReader: () => Promise<AnswerReader>,
): AsyncGenerator<ChatCompletionChunk, void> {
  const reader = await newReader();
  const shared = { ...head, object: 'chat.completion.chunk' as const, ...(includeUsage && { usage: null }) };
  type Choice = ChatCompletionChunk['choices'][number];
  const chunk = (
    delta: Choice['delta'],
    finish_reason: Choice['finish_reason'] = null,
    logprobs: Choice['logprobs'] = null,
  ): ChatCompletionChunk => ({ ...shared, choices: [{ index: 0, delta, finish_reason, logprobs }] });
  let begun = false;
  for await (const event of events) {
    if (!begun) yield chunk({ role: 'assistant', content: '' });
    begun = true;
    const logprobs = logprobsOf(event);
    const deltas = reader.push(event.text);
    if (logprobs && deltas.length === 0) deltas.push({}); // its text is held back
    for (const [i, delta] of deltas.entries())
      yield chunk(delta, null, i === 0 && logprobs ? chatLogprobs([logprobs]) : null);
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
  const chunk = (
    text: string,
    finish_reason: Choice['finish_reason'] = null,
    logprobs: Choice['logprobs'] = null,
  ): Completion => ({ ...shared, choices: [{ index: 0, text, finish_reason, logprobs }] });
  const placeOf = newPlaces();
  for await (const event of events) {
    if (event.type === 'token') {
      const logprobs = logprobsOf(event);
      if (event.text !== '' || logprobs) yield chunk(event.text, null, logprobs && textLogprobs([logprobs], placeOf));
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
  newReader: () => Promise<AnswerReader>,
): Promise<ChatCompletion> {
  const reader = await newReader();
  const { text, tokens, end } = await collect(events);
  const message = joinDeltas([...reader.push(text), ...reader.flush()]);
  const finish_reason = reader.finishReason(end.finishReason);
  return {
    ...head,
    object: 'chat.completion',
    choices: [{ index: 0, message, finish_reason, logprobs: tokens && chatLogprobs(tokens) }],
    usage: usageOf(end),
    chunkwise: reportOf(end),
  };
}

export async function wholeCompletion(head: Head, events: AsyncIterable<GenerateEvent>): Promise<Completion> {
  const { text, tokens, end } = await collect(events);
  return {
    ...head,
    object: 'text_completion',
    choices: [
      { index: 0, text, finish_reason: end.finishReason, logprobs: tokens && textLogprobs(tokens, newPlaces()) },
    ],
    usage: usageOf(end),
    chunkwise: reportOf(end),
  };
}

/** `tokens`: log-probabilities, where they were asked for and there are any. */
async function collect(
  events: AsyncIterable<GenerateEvent>,
): Promise<{ text: string; tokens: TokenLogprobs[] | null; end: End }> {
  const parts: string[] = [];
  const tokens: TokenLogprobs[] = [];
  for await (const event of events) {
    parts.push(event.text);
    tokens.push(...[logprobsOf(event) ?? []].flat());
    if (event.type === 'end') return { text: parts.join(''), tokens: tokens.length > 0 ? tokens : null, end: event };
  }
  throw new Error('the answer has no end');
}

/** The message that these deltas come to. */
export function joinDeltas(deltas: readonly AnswerDelta[]): AnswerMessage {
  const content = deltas.map((delta) => delta.content ?? '').join('');
  const reasoning = deltas.map((delta) => delta.reasoning_content ?? '').join('');
  const calls = deltas.flatMap((delta) => delta.tool_calls ?? []);
  return {
    role: 'assistant',
    content: content === '' && calls.length > 0 ? null : content,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls.map(({ index: _, ...call }) => call) }),
  };
}

const reportOf = ({ report, ignored }: End): AnswerReport => ({
  answeredBy: 'device',
  ...report,
  ...(ignored.length > 0 && { ignored }),
});
const logprobsOf = (event: GenerateEvent): TokenLogprobs | null => (event.type === 'token' && event.logprobs) || null;

function usageOf({ usage }: End): Usage {
  return {
    prompt_tokens: usage.promptTokens,
    completion_tokens: usage.completionTokens,
    total_tokens: usage.promptTokens + usage.completionTokens,
    prompt_tokens_details: { cached_tokens: usage.cachedTokens },
    completion_tokens_details: { forced_tokens: usage.forcedTokens },
  };
}
