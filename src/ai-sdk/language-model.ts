import type { Engine } from '../api/engine-types.ts';
import type { ChatCompletionChunk, Usage } from '../api/responses.ts';
import { engineOf, type LazyEngine, modelFields } from './lazy-engine.ts';
import { type CallOptions, type LanguageModel, requestOf, type Warning } from './prompt.ts';

type Generated = Awaited<ReturnType<LanguageModel['doGenerate']>>;
type StreamPart = Awaited<ReturnType<LanguageModel['doStream']>>['stream'] extends ReadableStream<infer P> ? P : never;

/**
 * Makes a language model that calls `engine.chat.completions`. `providerOptions.chunkwise` takes fields of its requests
 * that the SDK has none for, such as `adapter`. Errors: those of the engine; `unsupported` for files other than text.
 */
export function languageModel(engine: Pick<Engine, 'chat' | 'model'> | LazyEngine): LanguageModel {
  return Object.assign(modelFields(engine), {
    supportedUrls: {},
    async doGenerate(options: CallOptions): Promise<Generated> {
      const { request, warnings } = requestOf(options);
      const { abortSignal } = options;
      const { chat } = await engineOf(engine, abortSignal);
      const completion = await chat.completions.create(
        { ...request, stream: false },
        { ...(abortSignal && { signal: abortSignal }) },
      );
      const { id, created, model, choices, usage, chunkwise } = completion;
      const { message, finish_reason } = choices[0]!;
      const { reasoning_content: reasoning, content, tool_calls: calls = [] } = message;
      return {
        content: [
          ...(reasoning ? [{ type: 'reasoning' as const, text: reasoning }] : []),
          ...(content ? [{ type: 'text' as const, text: content }] : []),
          ...calls.map(({ id: toolCallId, function: { name, arguments: input } }) => {
            return { type: 'tool-call' as const, toolCallId, toolName: name, input };
          }),
        ],
        finishReason: finishOf(finish_reason),
        usage: usageOf(usage),
        warnings,
        request: { body: request },
        response: { id, timestamp: new Date(created * 1000), modelId: model },
        providerMetadata: { chunkwise: { answeredBy: chunkwise.answeredBy } },
      };
    },
    async doStream(options: CallOptions) {
      const { request, warnings } = requestOf(options);
      const { abortSignal, includeRawChunks = false } = options;
      const { chat } = await engineOf(engine, abortSignal);
      const chunks = await chat.completions.create(
        { ...request, stream: true, stream_options: { include_usage: true } },
        { ...(abortSignal && { signal: abortSignal }) },
      );
      return { stream: streamOf(partsOf(chunks, warnings, includeRawChunks)), request: { body: request } };
    },
  });
}

const FINISH = { stop: 'stop', length: 'length', tool_calls: 'tool-calls' } as const;

const finishOf = (reason: string): Generated['finishReason'] => ({
  unified: FINISH[reason as keyof typeof FINISH] ?? 'other',
  raw: reason,
});

const usageOf = (usage: Usage | undefined): Generated['usage'] => {
  const { prompt_tokens: total, prompt_tokens_details: details, completion_tokens: answered } = usage ?? {};
  const cacheRead = details?.cached_tokens;
  return {
    inputTokens: { total, noCache: total && total - (cacheRead ?? 0), cacheRead, cacheWrite: undefined },
    outputTokens: { total: answered, text: undefined, reasoning: undefined },
  };
};

/** The parts of a stream; an error is the last of them. */
async function* partsOf(
  chunks: AsyncIterable<ChatCompletionChunk>,
  warnings: Warning[],
  wantsRaw: boolean,
): AsyncGenerator<StreamPart, void> {
  yield { type: 'stream-start', warnings };
  const blocks = new Blocks();
  let isFirst = true;
  let finish = 'other';
  let usage: Usage | undefined;
  try {
    for await (const chunk of chunks) {
      if (wantsRaw) yield { type: 'raw', rawValue: chunk };
      const { id, created, model } = chunk;
      if (isFirst) yield { type: 'response-metadata', id, timestamp: new Date(created * 1000), modelId: model };
      isFirst = false;
      usage = chunk.usage ?? usage;
      for (const { delta, finish_reason } of chunk.choices) {
        if (delta.reasoning_content) yield* blocks.write('reasoning', delta.reasoning_content);
        if (delta.content) yield* blocks.write('text', delta.content);
        for (const {
          id: toolCallId,
          function: { name, arguments: input },
        } of delta.tool_calls ?? []) {
          yield* blocks.end();
          yield { type: 'tool-input-start', id: toolCallId, toolName: name };
          yield { type: 'tool-input-delta', id: toolCallId, delta: input };
          yield { type: 'tool-input-end', id: toolCallId };
          yield { type: 'tool-call', toolCallId, toolName: name, input };
        }
        finish = finish_reason ?? finish;
      }
    }
    yield* blocks.end();
    yield { type: 'finish', finishReason: finishOf(finish), usage: usageOf(usage) };
  } catch (error) {
    yield { type: 'error', error };
  }
}

/** Runs of text or reasoning, each with an id. */
class Blocks {
  #kind: 'text' | 'reasoning' | undefined;
  #count = 0;

  *write(kind: 'text' | 'reasoning', delta: string): Generator<StreamPart> {
    if (kind !== this.#kind) {
      yield* this.end();
      this.#kind = kind;
      yield { type: `${kind}-start`, id: this.#id };
    }
    yield { type: `${kind}-delta`, id: this.#id, delta };
  }

  *end(): Generator<StreamPart> {
    if (!this.#kind) return;
    yield { type: `${this.#kind}-end`, id: this.#id };
    this.#kind = undefined;
    this.#count++;
  }

  get #id(): string {
    return String(this.#count);
  }
}

/** `ReadableStream.from` is missing in some browsers. Cancelling ends the answer. */
const streamOf = <T>(parts: AsyncGenerator<T, void>): ReadableStream<T> =>
  new ReadableStream({
    async pull(controller) {
      const { done, value } = await parts.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await parts.return();
    },
  });
