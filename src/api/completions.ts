import type { Prompt, SentOptions } from '../../workers/protocol.ts';
import type { GenerateEvent } from '../engine/types.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { checked } from './checks.ts';
import { afterTheFirst, mergeAnswers, mergeChunks, optionsOfChoices } from './choices.ts';
import type { Listeners } from './listeners.ts';
import { parseCall } from './options.ts';
import { withDefaults } from './request-defaults.ts';
import { parseChatRequest, parseCompletionRequest } from './requests.ts';
import { chatChunks, completionChunks, responseHead, wholeChat, wholeCompletion } from './responses.ts';
import type {
  CallOptions,
  ChatCompletion,
  ChatCompletionChunk,
  ChatCompletionRequest,
  Completion,
  CompletionRequest,
  Engine,
  RequestDefaults,
} from './types.ts';
import type { EngineClient } from './engine-client.ts';

/** What completions are answered with. */
export interface Answerer {
  client: EngineClient;
  /** Told of every token. */
  listeners: Listeners;
  /** Its name in responses. */
  model: string;
  traits: ChatTraits;
  defaults: RequestDefaults;
}

/** `create` of chats and of texts. */
export function completions({
  client,
  listeners,
  model,
  traits,
  defaults,
}: Answerer): Pick<Engine, 'chat' | 'completions'> {
  /** An answer for each of `options`. Nothing runs before the first event of one is asked for. */
  const answersTo = (id: string, prompt: Prompt, options: readonly SentOptions[], signal?: AbortSignal) =>
    afterTheFirst(options.map((own) => tellTokens(listeners, id, client.generate(id, prompt, own, signal))));
  const chat = async (
    request: ChatCompletionRequest,
    call?: CallOptions,
  ): Promise<AsyncIterable<ChatCompletionChunk> | ChatCompletion> => {
    const signal = parseCall(call);
    const asked = checked('request', () => parseChatRequest(withDefaults(request, defaults), traits));
    const { messages, tools, newReader, options, choices, stream, includeUsage } = asked;
    const head = responseHead('chatcmpl', model);
    const answers = answersTo(head.id, { messages, tools }, optionsOfChoices(options, choices), signal);
    if (stream) return mergeChunks(answers.map((events) => chatChunks(head, events, includeUsage, newReader)));
    return mergeAnswers(answers, (events) => wholeChat(head, events, newReader));
  };
  const complete = async (
    request: CompletionRequest,
    call?: CallOptions,
  ): Promise<AsyncIterable<Completion> | Completion> => {
    const signal = parseCall(call);
    const asked = checked('request', () => parseCompletionRequest(withDefaults(request, defaults)));
    const { prompt, options, choices, stream, includeUsage } = asked;
    const head = responseHead('cmpl', model);
    const answers = answersTo(head.id, { text: prompt }, optionsOfChoices(options, choices), signal);
    if (stream) return mergeChunks(answers.map((events) => completionChunks(head, events, includeUsage)));
    return mergeAnswers(answers, (events) => wholeCompletion(head, events));
  };
  // `stream` decides which of the two comes, as the overloads say.
  return {
    chat: { completions: { create: chat as Engine['chat']['completions']['create'] } },
    completions: { create: complete as Engine['completions']['create'] },
  };
}

async function* tellTokens(
  listeners: Listeners,
  id: string,
  events: AsyncIterable<GenerateEvent>,
): AsyncGenerator<GenerateEvent, void> {
  for await (const event of events) {
    if (event.type === 'token') {
      const { ms, contextUsed, level, meanRank, complexity } = event;
      listeners.tell('token', { id, ms, contextUsed, ...(level !== undefined && { level, meanRank, complexity }) });
    }
    yield event;
  }
}
