import { isRecord } from '../../config/is-record.ts';
import type { ChatTurn } from '../../tokenizer/chat-template.ts';
import type { ChatTraits } from '../../tokenizer/chat-traits.ts';

/** What a model's template is given of a chat, where it does not take calls and their results as others do. */
export function asShown(messages: ChatTurn[], { toolFormat, showsCalls = false }: ChatTraits): ChatTurn[] {
  if (toolFormat === 'lfm2' && !showsCalls) return messages.map(withWrittenCalls);
  return toolFormat === 'gemma4' ? withResponses(messages) : messages;
}

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
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${literal(inner)}`)
    .join(', ')}}`;
}

/** What calls gave goes into the turn that called, as Gemma 4 was trained (its prompt formatting guide). */
function withResponses(messages: readonly ChatTurn[]): ChatTurn[] {
  let responses: ChatTurn['tool_responses'];
  let names = new Map<string | undefined, string>();
  return messages.flatMap((message) => {
    if (message.role === 'tool' && responses) {
      responses.push({
        name: message.name ?? names.get(message.tool_call_id) ?? 'unknown',
        response: resultOf(message.content),
      });
      return [];
    }
    responses = message.tool_calls && [];
    names = new Map(message.tool_calls?.map(({ id, function: { name } }) => [id, name]));
    return [{ ...message, ...(responses && { tool_responses: responses }) }];
  });
}

/** An object, where that is what a tool gave; else its text. */
function resultOf(content: string): unknown {
  try {
    const result: unknown = JSON.parse(content);
    return isRecord(result) ? result : content;
  } catch {
    return content;
  }
}
