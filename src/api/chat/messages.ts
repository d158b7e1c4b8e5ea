import type { ChatTurn } from '../../tokenizer/chat-template.ts';
import { isRecord } from '../../config/is-record.ts';
import { isNestedDeeper, REQUEST_NESTING } from '../../config/nesting.ts';
import { checkList, describe, refuse } from '../checks.ts';
import type { ChatMessage } from '../types.ts';

const ROLES: readonly string[] = ['system', 'user', 'assistant', 'tool'] satisfies ChatMessage['role'][];

/** Checks messages. Throws `bad_request`, naming the message and its field. */
export function parseMessages(messages: unknown): ChatTurn[] {
  const list = checkList(messages, 'messages');
  if (list.length === 0) refuse('messages', 'is empty');
  return list.map((message, i) => {
    const at = `messages[${i}]`;
    if (!isRecord(message)) refuse(at, `must be an object, but is ${describe(message)}`);
    return parseMessage(message, at);
  });
}

function parseMessage(message: Record<string, unknown>, at: string): ChatTurn {
  const role = message['role'] === 'developer' ? 'system' : message['role'];
  if (typeof role !== 'string' || !ROLES.includes(role)) {
    refuse(`${at}.role`, `must be one of ${ROLES.join(', ')}, but is ${describe(role)}`);
  }
  const text = (name: 'tool_call_id' | 'name' | 'reasoning_content'): string | undefined => {
    const value = message[name] ?? undefined;
    if (value === undefined || typeof value === 'string') return value;
    return refuse(`${at}.${name}`, `must be a string, but is ${describe(value)}`);
  };
  const [callId, name, reasoning] = [text('tool_call_id'), text('name'), text('reasoning_content')];
  const calls = parseCalls(message['tool_calls'], role, at);
  return {
    role,
    content: calls && isAbsent(message['content']) ? '' : parseContent(message['content'], `${at}.content`),
    ...(calls && { tool_calls: calls }),
    ...(callId !== undefined && { tool_call_id: callId }),
    ...(name !== undefined && { name }),
    ...(reasoning !== undefined && { reasoning_content: reasoning }),
  };
}

function parseContent(content: unknown, at: string): string {
  if (typeof content === 'string') return content;
  const texts = checkList(content, at, 'a string or an array of text parts').map((part, i) => {
    const isText = isRecord(part) && part['type'] === 'text';
    if (!isText)
      refuse(`${at}[${i}]`, `must be a part of type text, but is ${describe(isRecord(part) ? part['type'] : part)}`);
    return typeof part['text'] === 'string'
      ? part['text']
      : refuse(`${at}[${i}].text`, `must be a string, but is ${describe(part['text'])}`);
  });
  return texts.join('');
}

function parseCalls(value: unknown, role: string, at: string): ChatTurn['tool_calls'] {
  if (isAbsent(value) || (Array.isArray(value) && value.length === 0)) return undefined;
  if (role !== 'assistant') refuse(`${at}.tool_calls`, `is for an assistant's message, but its role is ${role}`);
  return checkList(value, `${at}.tool_calls`).map((call, i) => {
    const place = `${at}.tool_calls[${i}]`;
    if (!isRecord(call)) refuse(place, `must be an object, but is ${describe(call)}`);
    const { id, function: called } = call;
    if (typeof id !== 'string') refuse(`${place}.id`, `must be a string, but is ${describe(id)}`);
    if (!isRecord(called)) refuse(`${place}.function`, `must be an object, but is ${describe(called)}`);
    const { name } = called;
    if (typeof name !== 'string') refuse(`${place}.function.name`, `must be a string, but is ${describe(name)}`);
    return {
      id,
      type: 'function',
      function: { name, arguments: parseArguments(called['arguments'], `${place}.function.arguments`) },
    };
  });
}

/** OpenAI has them as text; templates write them as JSON. */
export function parseArguments(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'string') refuse(field, `must be a string, but is ${describe(value)}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(value === '' ? '{}' : value);
  } catch {
    refuse(field, `is not JSON: ${describe(value)}`);
  }
  if (isNestedDeeper(parsed, REQUEST_NESTING)) refuse(field, `is nested more than ${REQUEST_NESTING} deep`);
  return isRecord(parsed) ? parsed : refuse(field, `must be a JSON object, but is ${describe(value)}`);
}

const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null;
