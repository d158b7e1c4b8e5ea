import type { ChatTurn } from '../../tokenizer/chat-template.ts';
import { isRecord } from '../../config/is-record.ts';
import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import { parseArguments } from '../chat/messages.ts';
import { checkJson, checkList, checkText, describe, refuse } from '../checks.ts';

const ROLES = ['user', 'system', 'developer', 'assistant'];

/** What decisions are about, as turns of a chat. Throws `bad_request`, naming the field; `unsupported` for images. */
export function parseInput(input: unknown): ChatTurn[] {
  if (typeof input === 'string') return [{ role: 'user', content: textOf(input, 'input') }];
  const items = checkList(input, 'input', 'a string or an array');
  if (items.length === 0) refuse('input', 'is empty');
  /** Calls that came, by id. */
  const calls = new Map<string, 'function' | 'custom'>();
  return items.map((item, i) => {
    const at = `input[${i}]`;
    if (!isRecord(item)) refuse(at, `must be an object, but is ${describe(item)}`);
    const { type = 'message' } = item;
    if (type === 'message') return parseMessage(item, at);
    if (type === 'function_call' || type === 'custom_tool_call') return parseCall(item, at, calls);
    if (type === 'function_call_output' || type === 'custom_tool_call_output') return parseOutput(item, at, calls);
    return refuse(`${at}.type`, `must be that of a message, a call or its output, but is ${describe(type)}`);
  });
}

function parseMessage({ role, content }: Record<string, unknown>, at: string): ChatTurn {
  if (typeof role !== 'string' || !ROLES.includes(role))
    refuse(`${at}.role`, `must be one of ${ROLES.join(', ')}, but is ${describe(role)}`);
  return { role: role === 'developer' ? 'system' : role, content: parseContent(content, `${at}.content`) };
}

function parseCall(item: Record<string, unknown>, at: string, calls: Map<string, 'function' | 'custom'>): ChatTurn {
  const id = textOf(item['call_id'], `${at}.call_id`);
  const name = textOf(item['name'], `${at}.name`);
  const isFunction = item['type'] === 'function_call';
  const given = isFunction
    ? parseArguments(item['arguments'], `${at}.arguments`)
    : { input: textOf(item['input'], `${at}.input`, true) };
  calls.set(id, isFunction ? 'function' : 'custom');
  return {
    role: 'assistant',
    content: '',
    tool_calls: [{ id, type: 'function', function: { name, arguments: given } }],
  };
}

function parseOutput(
  { type, call_id, output }: Record<string, unknown>,
  at: string,
  calls: ReadonlyMap<string, 'function' | 'custom'>,
): ChatTurn {
  const id = textOf(call_id, `${at}.call_id`);
  const kind = type === 'function_call_output' ? 'function' : 'custom';
  if (calls.get(id) !== kind) refuse(`${at}.call_id`, `is that of no ${kind} call before it`);
  return { role: 'tool', content: parseContent(output, `${at}.output`), tool_call_id: id };
}

/** A text or its parts, with an empty line between two. */
export function parseContent(content: unknown, at: string): string {
  if (typeof content === 'string') return content;
  const parts = checkList(content, at, 'a string or an array of parts').map((part, i) => {
    const place = `${at}[${i}]`;
    if (!isRecord(part)) refuse(place, `must be an object, but is ${describe(part)}`);
    const { type } = part;
    if (type === 'input_text' || type === 'output_text') return textOf(part['text'], `${place}.text`, true);
    if (type === 'refusal') return textOf(part['refusal'], `${place}.refusal`, true);
    if (type === 'input_json') return jsonOf(part['data'], `${place}.data`);
    if (type === 'input_image')
      throw new ChunkwiseError('unsupported', { field: place, reason: 'is an image, and only text is read' });
    return refuse(`${place}.type`, `must be input_text or input_json, but is ${describe(type)}`);
  });
  return parts.join('\n\n');
}

function jsonOf(data: unknown, at: string): string {
  if (typeof data !== 'object' || data === null) refuse(at, `must be an object or an array, but is ${describe(data)}`);
  checkJson(data, at);
  return JSON.stringify(data);
}

export function textOf(value: unknown, at: string, mayBeEmpty = false): string {
  const text = checkText(value, at);
  return text === '' && !mayBeEmpty ? refuse(at, 'is empty') : text;
}
