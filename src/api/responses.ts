/** Responses in OpenAI's shapes: their types, and what makes them of the engine's events. */
import type {
  FinishReason as EndReason,
  GenerateEvent,
  GenerationReport,
  TokenChance,
  TokenLogprobs,
} from '../engine/types.ts';
import type { AnswerDelta, AnswerReader, FinishReason } from './chat/answer-reader.ts';
import type { ToolCall } from './chat/tool-calls.ts';

/** The device, or the server of a `fallback`. */
export type AnsweredBy = 'device' | 'server';

/** Who answered; for the device, also how the answer was computed. */
export type AnswerReport =
  | ({ answeredBy: 'device' } & GenerationReport)
  | ({ answeredBy: 'server' } & { [Name in keyof GenerationReport]?: undefined });

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** `cached_tokens`: prompt tokens whose keys and values were in the prefix cache. */
  prompt_tokens_details: { cached_tokens: number };
  /** `forced_tokens`: tokens that the answer's format determined, added without a decoding step. */
  completion_tokens_details: { forced_tokens: number };
}

/** A whole message, which a client can send back. */
export interface AnswerMessage {
  role: 'assistant';
  /** Null if the answer only calls tools. */
  content: string | null;
  reasoning_content?: string;
  tool_calls?: ToolCall[];
}

/** A token with its natural log-probability by the model's own logits, before sampling options and grammar change them. */
export interface ChatTokenLogprob {
  token: string;
  logprob: number;
  /** UTF-8 bytes; null for a control token. */
  bytes: number[] | null;
}

/** Log-probabilities of the answer's tokens, except the one that ends it, each with the likeliest tokens at its place, most probable first. */
export interface ChatLogprobs {
  content: (ChatTokenLogprob & { top_logprobs: ChatTokenLogprob[] })[];
  refusal: null;
}

/** Log-probabilities as OpenAI's text completions give them: one list for each kind of value. */
export interface TextLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  /** Start of each token in the choice's text, in UTF-16 units. */
  text_offset: number[];
}

export interface ChatCompletion {
  id: string;
  object: 'chat.completion';
  created: number;
  model: string;
  choices: { index: number; message: AnswerMessage; finish_reason: FinishReason; logprobs: ChatLogprobs | null }[];
  /** Usage of all choices; the prompt counts once. */
  usage: Usage;
  /** Report of the first choice. */
  chunkwise: AnswerReport;
}

export interface ChatCompletionChunk {
  id: string;
  object: 'chat.completion.chunk';
  created: number;
  model: string;
  choices: {
    index: number;
    delta: { role?: 'assistant' } & AnswerDelta;
    finish_reason: FinishReason | null;
    logprobs: ChatLogprobs | null;
  }[];
  /** On the last chunk, if `stream_options.include_usage` is true. */
  usage?: Usage | null;
  /**
   * On a choice's last chunk: the report of that choice; on a chunk with the usage: the report of the first choice. A
   * server's answers have it on each chunk.
   */
  chunkwise?: AnswerReport;
}

export interface Completion {
  id: string;
  object: 'text_completion';
  created: number;
  model: string;
  choices: { index: number; text: string; finish_reason: FinishReason | null; logprobs: TextLogprobs | null }[];
  usage?: Usage | null;
  chunkwise?: AnswerReport;
}

type End = Extract<GenerateEvent, { type: 'end' }>;
type Head = { id: string; created: number; model: string };

/** Fields that all parts of one response share. */
export function responseHead(kind: 'chatcmpl' | 'cmpl', model: string): Head {
  return { id: `${kind}-${crypto.randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
}

/** Returns a function that turns events into OpenAI's chat chunks: role, text, finish reason, and the usage if asked for. */
export function chatChunks(
  head: Head,
  includeUsage: boolean,
  reader: AnswerReader,
): (event: GenerateEvent) => ChatCompletionChunk[] {
  const shared = { ...head, object: 'chat.completion.chunk' as const, ...(includeUsage && { usage: null }) };
  type Choice = ChatCompletionChunk['choices'][number];
  const chunk = (
    delta: Choice['delta'],
    finish_reason: Choice['finish_reason'] = null,
    logprobs: Choice['logprobs'] = null,
  ): ChatCompletionChunk => ({ ...shared, choices: [{ index: 0, delta, finish_reason, logprobs }] });
  let begun = false;
  return (event) => {
    const role = begun ? [] : [chunk({ role: 'assistant', content: '' })];
    begun = true;
    const logprobs = logprobsOf(event);
    const deltas = reader.push(event.text);
    if (logprobs && deltas.length === 0) deltas.push({}); // the reader holds the token's text back
    const chunks = deltas.map((delta, i) => chunk(delta, null, i === 0 && logprobs ? chatLogprobs([logprobs]) : null));
    if (event.type === 'token') return [...role, ...chunks];
    const held = reader.flush().map((delta) => chunk(delta));
    const last = chunk({}, reader.finishReason(event.finishReason));
    return [...role, ...chunks, ...held, ...endOf(event, last, includeUsage)];
  };
}

/** Returns a function that turns events into OpenAI's text completion chunks, the usage last if asked for. */
export function completionChunks(head: Head, includeUsage: boolean): (event: GenerateEvent) => Completion[] {
  const shared = { ...head, object: 'text_completion' as const, ...(includeUsage && { usage: null }) };
  const placeOf = newPlaces();
  return (event) => {
    const chunk = (finish_reason: EndReason | null, logprobs: TextLogprobs | null): Completion => ({
      ...shared,
      choices: [{ index: 0, text: event.text, finish_reason, logprobs }],
    });
    if (event.type === 'end') return endOf(event, chunk(event.finishReason, null), includeUsage);
    const logprobs = logprobsOf(event);
    return event.text !== '' || logprobs ? [chunk(null, logprobs && textLogprobs([logprobs], placeOf))] : [];
  };
}

/** A choice's last chunk with its report; if the usage is asked for, it follows with the report in a chunk without choices. */
function endOf<C extends ChatCompletionChunk | Completion>(end: End, last: C, includeUsage: boolean): C[] {
  const chunkwise = reportOf(end);
  return includeUsage ? [last, { ...last, choices: [], usage: usageOf(end), chunkwise }] : [{ ...last, chunkwise }];
}

/** An answer from its first event to its end. */
export interface WholeAnswer {
  text: string;
  /** Log-probabilities of the tokens; null without any. */
  tokens: TokenLogprobs[] | null;
  end: End;
}

/** `write` takes the events of an answer. After the last, `answer` returns it. */
export function collectAnswer(): { write: (event: GenerateEvent) => []; answer: () => WholeAnswer } {
  const parts: string[] = [];
  const tokens: TokenLogprobs[] = [];
  let end: End | undefined;
  return {
    write(event) {
      parts.push(event.text);
      if (event.type === 'end') end = event;
      else if (event.logprobs) tokens.push(event.logprobs);
      return [];
    },
    answer() {
      if (!end) throw new Error('the answer has no end');
      return { text: parts.join(''), tokens: tokens.length > 0 ? tokens : null, end };
    },
  };
}

export function wholeChat(head: Head, { text, tokens, end }: WholeAnswer, reader: AnswerReader): ChatCompletion {
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

export function wholeCompletion(head: Head, { text, tokens, end }: WholeAnswer): Completion {
  const logprobs = tokens && textLogprobs(tokens, newPlaces());
  return {
    ...head,
    object: 'text_completion',
    choices: [{ index: 0, text, finish_reason: end.finishReason, logprobs }],
    usage: usageOf(end),
    chunkwise: reportOf(end),
  };
}

/** Joins deltas into a message. */
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

/** Log-probabilities of tokens as OpenAI's chats give them. */
function chatLogprobs(tokens: readonly TokenLogprobs[]): ChatLogprobs {
  const one = ({ token, logprob, bytes }: TokenChance): ChatTokenLogprob => ({
    token,
    logprob,
    bytes: bytes.length > 0 ? [...bytes] : null,
  });
  return { content: tokens.map((chance) => ({ ...one(chance), top_logprobs: chance.top.map(one) })), refusal: null };
}

/** Returns a function that takes the bytes of consecutive tokens and returns where each begins; a token within a character begins where the character does. */
function newPlaces(): (bytes: readonly number[]) => number {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  let end = 0;
  return (bytes) => {
    const start = end;
    end += decoder.decode(Uint8Array.from(bytes), { stream: true }).length;
    return start;
  };
}

/** Log-probabilities of tokens as OpenAI's completions give them. `placeOf`: see `newPlaces`. */
function textLogprobs(tokens: readonly TokenLogprobs[], placeOf: (bytes: readonly number[]) => number): TextLogprobs {
  return {
    tokens: tokens.map(({ token }) => token),
    token_logprobs: tokens.map(({ logprob }) => logprob),
    top_logprobs: tokens.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))),
    text_offset: tokens.map(({ bytes }) => placeOf(bytes)),
  };
}
