import type { GenerateEvent } from '../../src/engine/types.ts';
import type { ChatTurn } from '../../src/tokenizer/chat-template.ts';

export interface Answer {
  text: string;
  tokens: number[];
  end: Extract<GenerateEvent, { type: 'end' }>;
}

/** Runs a request to its end. */
export async function answer(events: AsyncIterable<GenerateEvent>): Promise<Answer> {
  let text = '';
  const tokens: number[] = [];
  for await (const event of events) {
    text += event.text;
    if (event.type === 'end') return { text, tokens, end: event };
    tokens.push(event.token);
  }
  throw new Error('the answer has no end');
}

export const USER = (content: string): ChatTurn => ({ role: 'user', content });
