import type { ReactNode } from 'react';
import { createElement as h, StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import type { EngineState } from '../../src/react/index.ts';
import { ChunkwiseError, useChat, useChunkwise } from '../../src/react/index.ts';

export interface ChatProps {
  id: string;
  model: string;
  contextLength?: number;
}

declare global {
  var show: (chats: ChatProps[]) => void;
}

function Chat({ id, model, contextLength }: ChatProps): ReactNode {
  const [renders, setRenders] = useState(0);
  const state = useChunkwise({ contextLength, model }); // a new object at every render
  const { messages, isStreaming, error, send, stop } = useChat(state.engine, { temperature: 0 });
  const button = (name: string, onClick: () => void): ReactNode => h('button', { onClick }, name);
  return h(
    'section',
    { id },
    h(
      'output',
      null,
      [describe(state), isStreaming ? 'streaming' : 'idle', codeOf(error), `rendered ${renders}`].join(', '),
    ),
    button('Render', () => setRenders(renders + 1)),
    button('Send', () => void send('Hi')),
    button('Stop', stop),
    messages.map(({ role, content }, i) => h('p', { key: i, className: role }, content)),
  );
}

function describe({ status, engine, error }: EngineState): string {
  if (engine !== undefined) return `${status} with ${engine.contextLength}`;
  return error === undefined ? status : `${status}: ${codeOf(error)}`;
}

const codeOf = (error: unknown): string => (error instanceof ChunkwiseError ? error.code : 'no error');

const root = createRoot(document.getElementById('root') as HTMLElement);
globalThis.show = (chats) =>
  root.render(
    h(
      StrictMode,
      null,
      chats.map((chat) => h(Chat, { ...chat, key: chat.id })),
    ),
  );
