import { useEffect, useRef, useState } from 'react';
import type { ChatCompletionRequest } from '../api/requests.ts';
import type { ChatMessage } from '../api/chat/parse-chat.ts';
import type { Engine } from '../api/engine-types.ts';
import type { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { asError } from './use-chunkwise.ts';

/** Fields of every request of the chat, besides its messages. */
export type ChatRequest = Omit<ChatCompletionRequest, 'messages' | 'stream'>;

export interface ChatState {
  /** The chat so far; the last answer grows as it arrives. */
  messages: readonly ChatMessage[];
  /** Whether an answer is being generated. */
  isStreaming: boolean;
  /** Error of the last request; stopping a request is no error. */
  error: ChunkwiseError | Error | undefined;
  /** Adds a user message and requests an answer. Does nothing without an engine or while an answer is being generated. */
  send: (content: string) => Promise<void>;
  /** Stops the answer; the text so far stays. */
  stop: () => void;
}

/** A chat with an engine of `useChunkwise`. `opening`: its first messages. Unmounting the component ends the answer. */
export function useChat(
  engine: Engine | undefined,
  request: ChatRequest = {},
  opening: readonly ChatMessage[] = [],
): ChatState {
  const [messages, setMessages] = useState(opening);
  const [isStreaming, setIsStreaming] = useState(false);
  const [error, setError] = useState<ChunkwiseError | Error>();
  const running = useRef<AbortController>(undefined);
  const stop = (): void => running.current?.abort();
  useEffect(() => stop, [engine]);

  async function send(content: string): Promise<void> {
    if (engine === undefined || running.current !== undefined) return;
    const { signal } = (running.current = new AbortController());
    const asked: ChatMessage[] = [...messages, { role: 'user', content }];
    setMessages(asked);
    setIsStreaming(true);
    setError(undefined);
    try {
      let answer = '';
      for await (const chunk of await engine.chat.completions.create(
        { ...request, messages: asked, stream: true },
        { signal },
      )) {
        answer += chunk.choices[0]?.delta.content ?? '';
        setMessages([...asked, { role: 'assistant', content: answer }]);
      }
    } catch (failure) {
      if (!signal.aborted) setError(asError(failure));
    } finally {
      running.current = undefined;
      setIsStreaming(false);
    }
  }

  return { messages, isStreaming, error, send, stop };
}
