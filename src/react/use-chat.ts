import { useEffect, useRef, useState } from 'react';
import type { ChatCompletionRequest, ChatMessage, Engine } from '../api/types.ts';
import type { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { asError } from './shared-engine.ts';

/** What every request of the chat has beside its messages. */
export type ChatRequest = Omit<ChatCompletionRequest, 'messages' | 'stream'>;

export interface ChatState {
  /** The chat so far; the last answer grows while it comes. */
  messages: readonly ChatMessage[];
  /** Whether an answer is on its way. */
  isStreaming: boolean;
  /** Of the last request; stopping it is none. */
  error: ChunkwiseError | Error | undefined;
  /** Adds what the user says and asks for an answer. Nothing happens while there is no engine or an answer is on its way. */
  send: (content: string) => Promise<void>;
  /** Ends the answer as it is. */
  stop: () => void;
}

/** A chat with an engine (that of `useChunkwise`), which begins with `opening`. An answer ends with its component. */
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
