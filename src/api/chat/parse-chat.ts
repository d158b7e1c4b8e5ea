import { ChunkwiseError } from '../../errors/chunkwise-error.ts';
import type { ResponseFormat } from '../../grammar/response-format.ts';
import type { ChatTurn, ToolDefinition } from '../../tokenizer/chat-template.ts';
import type { ChatTraits } from '../../tokenizer/chat-traits.ts';
import { isRecord } from '../../config/is-record.ts';
import { checkBoolean, checkJson, checkList, describe, refuse } from '../checks.ts';
import type { AnswerReader } from './answer-reader.ts';
import { formatOfCall, formatOfCalls } from './forced-call.ts';
import { parseMessages } from './messages.ts';
import { asShown } from './written-calls.ts';

/** What a chat request says, and how its answer is to be read. */
export interface ParsedChat {
  messages: ChatTurn[];
  /** That the model is told of. */
  tools: ToolDefinition[];
  /** What the answer is held to, where the model may call. */
  callFormat: ResponseFormat | undefined;
  /** A reader for each answer. Its code came with the engine's worker. */
  newReader: () => Promise<AnswerReader>;
}

/** Checks messages and tools. Throws `bad_request`, naming the field, or `unsupported` where the model's template knows no tools. */
export function parseChat(fields: Record<string, unknown>, traits: ChatTraits): ParsedChat {
  const messages = parseMessages(fields['messages']);
  const strict = new Set<string>();
  const given = parseTools(fields['tools'], strict);
  const { tools, isForced } = chosenTools(fields['tool_choice'], given);
  const { toolFormat } = traits;
  const place = messages.findIndex((message) => message.tool_calls !== undefined);
  const unknownTo = tools.length > 0 ? 'tools' : place >= 0 ? `messages[${place}].tool_calls` : undefined;
  if (toolFormat === undefined && unknownTo !== undefined) {
    const reason = "the model's chat template knows no tools, or writes calls in a form that is not read here";
    throw new ChunkwiseError('unsupported', { field: unknownTo, reason });
  }
  const known = new Set(tools.map((tool) => tool.function.name));
  for (const name of ['response_format', 'structured_outputs'])
    if (isForced && fields[name] !== undefined)
      refuse(name, 'cannot be combined with a tool_choice that demands a call');
  const isFree = isText(fields['response_format']) && fields['structured_outputs'] === undefined;
  const callFormat = isForced ? formatOfCall(tools) : isFree ? formatOfCalls(tools, strict, traits) : undefined;
  // What is held to a form has it from its first token on: no reasoning goes before.
  const isHeld = isForced || !isFree;
  const answerTraits = isHeld ? { ...traits, opensReasoning: false } : traits;
  return {
    messages: asShown(messages, traits),
    ...{ tools, callFormat },
    newReader: async () => new (await import('./answer-reader.ts')).AnswerReader(answerTraits, known, isForced),
  };
}

/** `strict`: takes the names of those whose schema must be enforced, which is not for the model to read. */
function parseTools(value: unknown, strict: Set<string>): ToolDefinition[] {
  if (value === undefined) return [];
  return checkList(value, 'tools').map((tool, i) => {
    const at = `tools[${i}]`;
    if (!isRecord(tool)) refuse(at, `must be an object, but is ${describe(tool)}`);
    if (tool['type'] !== 'function') refuse(`${at}.type`, `must be function, but is ${describe(tool['type'])}`);
    const called = tool['function'];
    if (!isRecord(called)) refuse(`${at}.function`, `must be an object, but is ${describe(called)}`);
    const { name, description, parameters } = called;
    if (typeof name !== 'string' || name === '')
      refuse(`${at}.function.name`, `must be a name, but is ${describe(name)}`);
    if (description !== undefined && typeof description !== 'string') {
      refuse(`${at}.function.description`, `must be a string, but is ${describe(description)}`);
    }
    if (parameters !== undefined && !isRecord(parameters)) {
      refuse(`${at}.function.parameters`, `must be a JSON schema, but is ${describe(parameters)}`);
    }
    checkJson(parameters, `${at}.function.parameters`);
    if (checkBoolean(called['strict'] ?? undefined, `${at}.function.strict`)) strict.add(name);
    // Templates index these.
    return {
      type: 'function',
      function: { name, description: description ?? '', parameters: parameters ?? NO_PARAMETERS },
    };
  });
}

const isText = (format: unknown): boolean => format === undefined || (isRecord(format) && format['type'] === 'text');

const NO_PARAMETERS = { type: 'object', properties: {} };

/** The tools that the model is told of, and whether it must call one of them. */
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
