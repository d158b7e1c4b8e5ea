import type { Prompt, RemoteEngine, SentOptions } from '../../workers/protocol.ts';
import { MAX_SEQUENCES } from '../config/limits.ts';
import type { GenerateEvent } from '../engine/types.ts';
import type { ChatTraits } from '../tokenizer/chat-traits.ts';
import { checked } from './checks.ts';
import type { CallOptions, Engine } from './engine-types.ts';
import type { Listeners } from './events.ts';
import {
  type ChatCompletionRequest,
  type CompletionRequest,
  type ParsedRequest,
  parseCall,
  parseChatRequest,
  parseCompletionRequest,
  type RequestDefaults,
  withDefaults,
} from './requests.ts';
import {
  chatChunks,
  type ChatCompletion,
  type ChatCompletionChunk,
  collectAnswer,
  type Completion,
  completionChunks,
  responseHead,
  type Usage,
  wholeChat,
  type WholeAnswer,
  wholeCompletion,
} from './responses.ts';

/** Everything that completions need. */
export interface Answerer {
  engine: RemoteEngine;
  /** Receives every token. */
  listeners: Listeners;
  /** The model's name in responses. */
  model: string;
  traits: ChatTraits;
  defaults: RequestDefaults;
}

/** `create` of chats and of texts. */
export function completions(answerer: Answerer): Pick<Engine, 'chat' | 'completions'> {
  const { model, traits, defaults } = answerer;
  const chat = async (
    request: ChatCompletionRequest,
    call?: CallOptions,
  ): Promise<AsyncIterable<ChatCompletionChunk> | ChatCompletion> => {
    const signal = parseCall(call);
    const { messages, tools, documents, newReader, ...asked } = checked('request', () =>
      parseChatRequest(withDefaults(request, defaults), traits),
    );
    const head = responseHead('chatcmpl', model);
    const readers = await Promise.all(Array.from({ length: asked.choices }, newReader));
    return respond(
      answerer,
      { id: head.id, prompt: { messages, tools, documents }, ...asked, signal },
      {
        chunks: (i) => chatChunks(head, asked.includeUsage, readers[i]!),
        whole: (answer, i) => wholeChat(head, answer, readers[i]!),
      },
    );
  };
  const complete = async (
    request: CompletionRequest,
    call?: CallOptions,
  ): Promise<AsyncIterable<Completion> | Completion> => {
    const signal = parseCall(call);
    const { prompt, ...asked } = checked('request', () => parseCompletionRequest(withDefaults(request, defaults)));
    const head = responseHead('cmpl', model);
    return respond(
      answerer,
      { id: head.id, prompt: { text: prompt }, ...asked, signal },
      {
        chunks: () => completionChunks(head, asked.includeUsage),
        whole: (answer) => wholeCompletion(head, answer),
      },
    );
  };
  // `stream` decides which of the two is returned; the overloads tell which.
  return {
    chat: { completions: { create: chat as Engine['chat']['completions']['create'] } },
    completions: { create: complete as Engine['completions']['create'] },
  };
}

interface AskedCompletion extends ParsedRequest {
  id: string;
  prompt: Prompt;
  signal: AbortSignal | undefined;
}

/** Shapes the events of one choice into a response, by the choice's index. */
interface Shape<C, A> {
  chunks(choice: number): (event: GenerateEvent) => C[];
  whole(answer: WholeAnswer, choice: number): A;
}

/** The response in chunks or whole, as the request asks. Chunks: nothing runs before the first is asked for. */
async function respond<C extends Chunk, A extends Chunk>(
  { engine, listeners }: Answerer,
  { id, prompt, options, choices, stream, signal }: AskedCompletion,
  shape: Shape<C, A>,
): Promise<AsyncIterable<C> | A> {
  const answers = optionsOfChoices(options, choices).map((own) => engine.generate(id, prompt, { ...own, signal }));
  const told =
    <T>(write: (event: GenerateEvent) => T) =>
    (event: GenerateEvent): T => {
      if (event.type === 'token') tellToken(listeners, id, event);
      return write(event);
    };
  if (stream) return mergeChunks(answers.map((events, i) => ({ events, write: told(shape.chunks(i)) })));
  const collected = answers.map((events) => ({ events, ...collectAnswer() }));
  const merged = mergeChunks(collected.map(({ events, write }) => ({ events, write: told(write) })));
  await merged.next(); // ends with the last answer: they write no chunks
  return mergeWhole(collected.map(({ answer }, i) => shape.whole(answer(), i)));
}

function tellToken(listeners: Listeners, id: string, event: Extract<GenerateEvent, { type: 'token' }>): void {
  const { ms, contextUsed, level, meanRank, complexity } = event;
  listeners.tell('token', { id, ms, contextUsed, ...(level !== undefined && { level, meanRank, complexity }) });
}

/** Options for each of `count` choices of one request; their seeds are consecutive. */
export function optionsOfChoices(options: SentOptions, count: number): SentOptions[] {
  const { sampling } = options;
  return Array.from({ length: count }, (_, i) => ({
    ...options,
    sampling: { ...sampling, seed: (sampling.seed + i) >>> 0 },
    ...(i > 0 && { isFurther: true }),
  }));
}

interface Chunk {
  choices: { index: number }[];
  usage?: Usage | null;
}

interface Choice<E, C> {
  events: AsyncGenerator<E, void>;
  /** Writes the chunks that an event adds to the response. */
  write: (event: E) => C[];
}

/**
 * Yields the chunks of all choices as they come, each with its choice's index, and the usage of all in a last chunk. The
 * first choice runs alone until its first event: by then the prompt that they share is computed. After that, one choice
 * runs for each sequence slot. An error in one choice, or the reader leaving, ends all.
 */
export async function* mergeChunks<E, C extends Chunk>(choices: readonly Choice<E, C>[]): AsyncGenerator<C, void> {
  const running = new Map<number, Promise<{ index: number; next: IteratorResult<E, void> }>>();
  const waiting = [...choices.keys()];
  const usages: C[] = [];
  const pull = (index: number): void => {
    const next = choices[index]!.events.next().then((result) => ({ index, next: result }));
    next.catch(() => undefined); // the loop throws the first error it meets
    running.set(index, next);
  };
  try {
    for (const index of waiting.splice(0, 1)) pull(index);
    while (running.size > 0) {
      const { index, next } = await Promise.race(running.values());
      if (next.done) running.delete(index);
      for (const later of waiting.splice(0, MAX_SEQUENCES - running.size)) pull(later);
      if (next.done) continue;
      for (const chunk of choices[index]!.write(next.value)) {
        if (chunk.usage) usages.push(chunk);
        else yield withIndex(chunk, index);
      }
      pull(index); // not earlier: a reader that leaves at this chunk has asked for no further token
    }
  } finally {
    await Promise.allSettled(choices.map(({ events }) => events.return()));
  }
  if (usages[0]) yield { ...usages[0], usage: sumOf(usages) };
}

/** Joins the choices of whole answers. All other fields come from the first. */
export function mergeWhole<A extends Chunk>(answers: readonly A[]): A {
  return {
    ...(answers[0] as A),
    choices: answers.flatMap((answer, i) => withIndex(answer, i).choices),
    usage: sumOf(answers),
  };
}

const withIndex = <C extends Chunk>(chunk: C, index: number): C => ({
  ...chunk,
  choices: chunk.choices.map((choice) => ({ ...choice, index })),
});

/** Sums the usage of choices. The prompt counts once. */
function sumOf(answers: readonly Chunk[]): Usage {
  const usages = answers.flatMap(({ usage }) => usage ?? []);
  const first = usages[0] as Usage;
  const total = (of: (usage: Usage) => number): number => usages.reduce((sum, usage) => sum + of(usage), 0);
  const completion = total((usage) => usage.completion_tokens);
  return {
    ...first,
    completion_tokens: completion,
    total_tokens: first.prompt_tokens + completion,
    completion_tokens_details: { forced_tokens: total((usage) => usage.completion_tokens_details.forced_tokens) },
  };
}
