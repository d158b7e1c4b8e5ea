import type { ChatTurn } from '../../tokenizer/chat-template.ts';
import type { ToolFormat } from '../../tokenizer/chat-traits.ts';

/** What a model's template is given of a chat. LFM2's shows contents alone, so that calls are written into them. */
export const asShown = (messages: ChatTurn[], toolFormat: ToolFormat | undefined): ChatTurn[] =>
  toolFormat === 'lfm2' ? messages.map(withWrittenCalls) : messages;

/** An assistant's calls as LFM2 writes them, before what it said (Liquid AI's documentation, tool use). */
function withWrittenCalls({ tool_calls: calls, ...message }: ChatTurn): ChatTurn {
  if (calls === undefined) return message;
  const written = calls.map(({ function: { name, arguments: given } }) => {
    const values = Object.entries(given).map(([key, value]) => `${key}=${literal(value)}`);
    return `${name}(${values.join(', ')})`;
  });
  return { ...message, content: `<|tool_call_start|>[${written.join(', ')}]<|tool_call_end|>${message.content}` };
}

/** A value of JSON as Python's literal. */
function literal(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value).map(([key, inner]) => `${JSON.stringify(key)}: ${literal(inner)}`).join(', ')}}`;
}
