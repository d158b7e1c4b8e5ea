import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { ResponseFormat } from '../../grammar/response-format.ts';
import type { ChatDocument, ChatTurn, ToolDefinition } from '../../tokenizer/chat-template.ts';
import type { ChatTraits } from '../../tokenizer/chat-traits.ts';
import { isNestedDeeper, isRecord, REQUEST_NESTING } from '../../util/values.ts';
import {
  checkBoolean,
  checkFilled,
  checkFilledList,
  checkJson,
  checkList,
  checkOneOf,
  checkRecord,
  checkText,
  describe,
  fieldsOf,
  optional,
  refuse,
} from '../checks.ts';
import type { AnswerReader } from './answer-reader.ts';
import type { ToolCall } from './tool-calls.ts';

/** Whether the model may call tools (`auto`, the default), may not (`none`), must call one (`required`), or must call this function. */
export type ToolChoice = 'none' | 'auto' | 'required' | { type: 'function'; function: { name: string } };

/** A chat request's messages and tools, and the reader of its answer. */
export interface ParsedChat {
  messages: ChatTurn[];
  /** Tools shown to the model. */
  tools: ToolDefinition[];
  /** Texts that the model may answer from. */
  documents: ChatDocument[];
  /** Format that the answer must follow if the model may call tools. */
  callFormat: ResponseFormat | undefined;
  /** Makes a reader for one answer. Its code is already loaded, together with the engine's worker. */
  newReader: () => Promise<AnswerReader>;
}

/** Checks messages and tools. Throws `bad_request`, naming the field; `unsupported` if the model's template has no tools. */
export function parseChat(fields: Record<string, unknown>, traits: ChatTraits): ParsedChat {
  const messages = parseMessages(fields['messages']);
  const document = messages.findIndex(({ role }) => role.startsWith('document '));
  if (document >= 0 && !traits.showsDocuments) refuseIgnored(`messages[${document}].role`);
  const strict = new Set<string>();
  const given = parseTools(fields['tools'], strict);
  const { tools, isForced } = chosenTools(fields['tool_choice'], given);
  const { toolFormat } = traits;
  const place = messages.findIndex((message) => message.tool_calls !== undefined);
  const unknownTo = tools.length > 0 ? 'tools' : place >= 0 ? `messages[${place}].tool_calls` : undefined;
  if (toolFormat === undefined && unknownTo !== undefined) {
    const reason = "the model's chat template has no tools, or its notation for calls is not supported";
    throw new ChunkwiseError('unsupported', { field: unknownTo, reason });
  }
  const known = new Set(tools.map((tool) => tool.function.name));
  for (const name of ['response_format', 'structured_outputs'])
    if (isForced && fields[name] !== undefined)
      refuse(name, 'cannot be combined with a tool_choice that demands a call');
  const isFree = isText(fields['response_format']) && fields['structured_outputs'] === undefined;
  const callFormat = isForced ? formatOfCall(tools) : isFree ? formatOfCalls(tools, strict, traits) : undefined;
  // A format applies from the first token on, so no reasoning comes before the answer.
  const isHeld = isForced || !isFree;
  const answerTraits = isHeld ? { ...traits, opensReasoning: false } : traits;
  return {
    messages: asShown(messages, traits),
    ...{ tools, documents: parseDocuments(fields['documents'], traits), callFormat },
    newReader: async () => new (await import('./answer-reader.ts')).AnswerReader(answerTraits, known, isForced),
  };
}

const DOCUMENT_FIELDS = ['text', 'title', 'doc_id'];

/** Checks documents. Throws `bad_request`; `unsupported` if the template would ignore them. */
function parseDocuments(value: unknown, { readsDocuments }: ChatTraits): ChatDocument[] {
  const documents = parseDocumentList(value);
  if (documents.length > 0 && !readsDocuments) refuseIgnored('documents');
  return documents;
}

function refuseIgnored(field: string): never {
  const reason = "the model's chat template ignores documents: write them into a message";
  throw new ChunkwiseError('unsupported', { field, reason });
}

/** Checks documents, whatever the template. Throws `bad_request`, naming the field. */
export function parseDocumentList(value: unknown): ChatDocument[] {
  return checkList(value ?? [], 'documents').map((document, i) => {
    const at = `documents[${i}]`;
    const own = fieldsOf(document, at, DOCUMENT_FIELDS);
    const given = DOCUMENT_FIELDS.filter((name) => name === 'text' || (own[name] ?? undefined) !== undefined);
    return Object.fromEntries(
      given.map((name) => [name, checkText(own[name], `${at}.${name}`)]),
    ) as unknown as ChatDocument;
  });
}

/** Adds to `strict` the names of tools whose schema must be enforced; the model does not see that flag. */
function parseTools(value: unknown, strict: Set<string>): ToolDefinition[] {
  if (value === undefined) return [];
  return checkList(value, 'tools').map((tool, i) => {
    const at = `tools[${i}]`;
    const { type, function: called } = checkRecord(tool, at);
    if (type !== 'function') refuse(`${at}.type`, `must be function, but is ${describe(type)}`);
    const own = checkRecord(called, `${at}.function`);
    const name = checkFilled(own['name'], `${at}.function.name`);
    // Templates read all three fields.
    const { description = '', parameters = NO_PARAMETERS } = own;
    checkJson(parameters, `${at}.function.parameters`);
    if (checkBoolean(own['strict'], `${at}.function.strict`)) strict.add(name);
    return {
      type: 'function',
      function: {
        name,
        description: checkText(description, `${at}.function.description`),
        parameters: checkRecord(parameters, `${at}.function.parameters`, 'a JSON schema'),
      },
    };
  });
}

const isText = (format: unknown): boolean => format === undefined || (isRecord(format) && format['type'] === 'text');

const NO_PARAMETERS = { type: 'object', properties: {} };

/** Returns the tools to show to the model, and whether it must call one. */
function chosenTools(
  choice: unknown,
  tools: readonly ToolDefinition[],
): { tools: ToolDefinition[]; isForced: boolean } {
  if (choice === undefined || choice === 'auto') return { tools: [...tools], isForced: false };
  if (choice === 'none') return { tools: [], isForced: false };
  const name = isRecord(choice) && isRecord(choice['function']) ? choice['function']['name'] : undefined;
  if (choice !== 'required' && typeof name !== 'string') {
    refuse('tool_choice', `must be none, auto, required or a function, but is ${describe(choice)}`);
  }
  const chosen = choice === 'required' ? [...tools] : tools.filter((tool) => tool.function.name === name);
  if (chosen.length === 0) refuse('tool_choice', `demands ${describe(name ?? choice)}, but tools has no such function`);
  return { tools: chosen, isForced: true };
}

/** Format of an answer that must be a call of one of these tools: plain JSON, whatever the model's own notation. */
export function formatOfCall(tools: readonly ToolDefinition[]): ResponseFormat {
  const calls = tools.map(({ function: { name, parameters } }) => ({
    type: 'object',
    // With an id of its own, references in the schema resolve inside it.
    properties: { name: { const: name }, arguments: { $id: name, ...closed(parameters), type: 'object' } },
    required: ['name', 'arguments'],
    additionalProperties: false,
  }));
  return { type: 'json_schema', schema: calls.length === 1 ? calls[0] : { anyOf: calls } };
}

/** Format of an answer that may contain calls: every call must name one of these tools and match its schema. Undefined without tools. */
export function formatOfCalls(
  tools: readonly ToolDefinition[],
  strict: ReadonlySet<string>,
  { toolFormat: notation, opensReasoning }: ChatTraits,
): ResponseFormat | undefined {
  if (tools.length === 0 || notation === undefined) return undefined;
  const schemas = tools.map(({ function: { name, parameters } }) => ({
    ...{ name, parameters: closed(parameters), strict: strict.has(name) },
  }));
  return { type: 'tool_calls', notation, tools: schemas, opensReasoning };
}

/** Keywords that may allow further properties. */
const OPENING = [
  ...[
    'additionalProperties',
    'patternProperties',
    'unevaluatedProperties',
    '$ref',
    '$dynamicRef',
    'allOf',
    'anyOf',
    'oneOf',
  ],
  ...['if', 'dependentSchemas', 'dependencies'],
];

/** Forbids arguments that the parameters do not name, unless the schema itself says more about them. */
function closed(parameters: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const isOpen = !('properties' in parameters) || OPENING.some((keyword) => keyword in parameters);
  return isOpen ? parameters : { ...parameters, additionalProperties: false };
}

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
}

/** A message of a request. */
export interface MessageInput {
  /**
   * `developer` is OpenAI's newer name for `system`. `document ID` is a document, for templates that read documents as
   * messages.
   */
  role: ChatMessage['role'] | 'developer' | `document ${string}`;
  /** Parts are joined. Only an assistant's message with tool calls may leave it out. */
  content?: string | TextPart[] | null;
  /** For an assistant's message. */
  tool_calls?: ToolCall[];
  /** For a tool's message: id of the call that it answers. */
  tool_call_id?: string;
  name?: string;
  reasoning_content?: string | null;
}

export interface TextPart {
  type: 'text';
  text: string;
}

const ROLES = ['system', 'user', 'assistant', 'tool'] as const satisfies ChatMessage['role'][];

/** Checks messages. Throws `bad_request`, naming the message and its field. */
export function parseMessages(messages: unknown): ChatTurn[] {
  return checkFilledList(messages, 'messages').map((message, i) => {
    const at = `messages[${i}]`;
    return parseMessage(checkRecord(message, at), at);
  });
}

function parseMessage(message: Record<string, unknown>, at: string): ChatTurn {
  const role = parseRole(message['role'], `${at}.role`);
  const text = (name: string): string | undefined => optional(message[name], `${at}.${name}`, checkText);
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

function parseRole(role: unknown, at: string): string {
  if (role === 'developer') return 'system';
  return typeof role === 'string' && /^document ./.test(role) ? role : checkOneOf(ROLES, role, at);
}

function parseContent(content: unknown, at: string): string {
  if (typeof content === 'string') return content;
  const texts = checkList(content, at, 'a string or an array of text parts').map((part, i) => {
    if (!isRecord(part) || part['type'] !== 'text')
      refuse(`${at}[${i}]`, `must be a part of type text, but is ${describe(isRecord(part) ? part['type'] : part)}`);
    return checkText(part['text'], `${at}[${i}].text`);
  });
  return texts.join('');
}

function parseCalls(value: unknown, role: string, at: string): ChatTurn['tool_calls'] {
  if (isAbsent(value) || (Array.isArray(value) && value.length === 0)) return undefined;
  if (role !== 'assistant') refuse(`${at}.tool_calls`, `is for an assistant's message, but its role is ${role}`);
  return checkList(value, `${at}.tool_calls`).map((call, i) => {
    const place = `${at}.tool_calls[${i}]`;
    const { id, function: called } = checkRecord(call, place);
    const { name, arguments: given } = checkRecord(called, `${place}.function`);
    return {
      id: checkText(id, `${place}.id`),
      type: 'function',
      function: {
        name: checkText(name, `${place}.function.name`),
        arguments: parseArguments(given, `${place}.function.arguments`),
      },
    };
  });
}

/** OpenAI sends arguments as text; templates need the object. */
export function parseArguments(value: unknown, field: string): Record<string, unknown> {
  const text = checkText(value, field);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text === '' ? '{}' : text);
  } catch {
    refuse(field, `is not JSON: ${describe(value)}`);
  }
  if (isNestedDeeper(parsed, REQUEST_NESTING)) refuse(field, `is nested more than ${REQUEST_NESTING} deep`);
  return isRecord(parsed) ? parsed : refuse(field, `must be a JSON object, but is ${describe(value)}`);
}

const isAbsent = (value: unknown): value is null | undefined => value === undefined || value === null;

/** Rewrites tool calls and their results for templates that need another form than most. */
export function asShown(messages: ChatTurn[], { toolFormat, showsCalls = false }: ChatTraits): ChatTurn[] {
  if (toolFormat === 'lfm2' && !showsCalls) return messages.map(withWrittenCalls);
  return toolFormat === 'gemma4' ? withResponses(messages) : messages;
}

/** Writes an assistant's calls in LFM2's notation before its text (Liquid AI's documentation, tool use). */
function withWrittenCalls({ tool_calls: calls, ...message }: ChatTurn): ChatTurn {
  if (calls === undefined) return message;
  const written = calls.map(({ function: { name, arguments: given } }) => {
    const values = Object.entries(given).map(([key, value]) => `${key}=${literal(value)}`);
    return `${name}(${values.join(', ')})`;
  });
  return { ...message, content: `<|tool_call_start|>[${written.join(', ')}]<|tool_call_end|>${message.content}` };
}

/** A JSON value as a Python literal. */
function literal(value: unknown): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`;
  if (typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.entries(value)
    .map(([key, inner]) => `${JSON.stringify(key)}: ${literal(inner)}`)
    .join(', ')}}`;
}

/** Moves the results of calls into the turn that called, as Gemma 4 expects (its prompt formatting guide). */
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

/** Parses a tool's result if it is a JSON object; otherwise returns its text. */
function resultOf(content: string): unknown {
  try {
    const result: unknown = JSON.parse(content);
    return isRecord(result) ? result : content;
  } catch {
    return content;
  }
}
