import type { LanguageModel as AnyLanguageModel } from 'ai';
import type { MessageInput } from '../api/chat/parse-chat.ts';
import type { ToolCall } from '../api/chat/tool-calls.ts';
import type { ChatCompletionRequest } from '../api/requests.ts';
import type { JsonSchema } from '../api/response-format.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** The model type of `generateText`, `streamText` and `generateObject`. */
export type LanguageModel = Extract<AnyLanguageModel, { specificationVersion: 'v4' }>;
export type CallOptions = Parameters<LanguageModel['doGenerate']>[0];
type Prompt = CallOptions['prompt'];
export type Warning = Awaited<ReturnType<LanguageModel['doGenerate']>>['warnings'][number];
type Part<Role> = Extract<Prompt[number], { role: Role }>['content'] extends (infer P)[] ? P : never;
type ToolOutput = Extract<Part<'tool'>, { type: 'tool-result' }>['output'];

/** A request for `engine.chat.completions`, and warnings about options that have no effect. Errors: `unsupported`. */
export function requestOf(options: CallOptions): { request: ChatCompletionRequest; warnings: Warning[] } {
  const { prompt, tools = [], toolChoice, responseFormat, stopSequences, reasoning, providerOptions } = options;
  const warnings: Warning[] = [];
  if (reasoning !== undefined && reasoning !== 'provider-default')
    warnings.push({ type: 'unsupported', feature: 'reasoning', details: "the model's chat template decides" });
  const functions = tools.flatMap((tool) => {
    if (tool.type === 'function') return tool;
    warnings.push({ type: 'unsupported', feature: `provider-defined tool ${tool.name}` });
    return [];
  });
  const given = {
    max_tokens: options.maxOutputTokens,
    temperature: options.temperature,
    top_p: options.topP,
    top_k: options.topK,
    presence_penalty: options.presencePenalty,
    frequency_penalty: options.frequencyPenalty,
    seed: options.seed,
    stop: stopSequences,
    response_format: responseFormat && formatOf(responseFormat),
    tools: functions.length > 0 ? functions.map(toolOf) : undefined,
    tool_choice: functions.length > 0 && toolChoice ? choiceOf(toolChoice) : undefined,
  };
  const isGiven = ([, value]: [string, unknown]): boolean => value !== undefined;
  const request = {
    messages: prompt.flatMap(messagesOf),
    ...(Object.fromEntries(Object.entries(given).filter(isGiven)) as Partial<ChatCompletionRequest>),
    ...providerOptions?.['chunkwise'],
  };
  return { request, warnings };
}

function formatOf(
  format: NonNullable<CallOptions['responseFormat']>,
): NonNullable<ChatCompletionRequest['response_format']> {
  if (format.type === 'text') return { type: 'text' };
  const { schema, name = 'answer', description } = format;
  if (!schema) return { type: 'json_object' };
  return {
    type: 'json_schema',
    json_schema: { name, schema: schema as JsonSchema, ...(description !== undefined && { description }) },
  };
}

type FunctionTool = Extract<NonNullable<CallOptions['tools']>[number], { type: 'function' }>;

function toolOf({ name, description = '', inputSchema, strict }: FunctionTool) {
  const parameters = inputSchema as Record<string, unknown>;
  return { type: 'function' as const, function: { name, description, parameters, ...(strict && { strict }) } };
}

const choiceOf = (choice: NonNullable<CallOptions['toolChoice']>): NonNullable<ChatCompletionRequest['tool_choice']> =>
  choice.type === 'tool' ? { type: 'function', function: { name: choice.toolName } } : choice.type;

function messagesOf(message: Prompt[number], i: number): MessageInput[] {
  const at = (part: number): string => `prompt[${i}].content[${part}]`;
  switch (message.role) {
    case 'system':
      return [{ role: 'system', content: message.content }];
    case 'user':
      return [{ role: 'user', content: message.content.map((part, j) => textOf(part, at(j))).join('') }];
    case 'assistant':
      return [answerOf(message.content, at)];
    case 'tool':
      return message.content.flatMap((part, j): MessageInput[] => {
        if (part.type === 'tool-approval-response') return []; // the SDK acts on it
        const { toolCallId, toolName, output } = part;
        return [{ role: 'tool', tool_call_id: toolCallId, name: toolName, content: outputOf(output, at(j)) }];
      });
  }
}

function textOf(part: Part<'user'>, field: string): string {
  if (part.type === 'text') return part.text;
  if (part.data.type === 'text') return part.data.text;
  return refuse(field, `is a file of type ${part.mediaType}; only text is supported`);
}

function answerOf(parts: readonly Part<'assistant'>[], at: (part: number) => string): MessageInput {
  const calls: ToolCall[] = [];
  let [content, reasoning] = ['', ''];
  parts.forEach((part, j) => {
    if (part.type === 'text') content += part.text;
    else if (part.type === 'reasoning') reasoning += part.text;
    else if (part.type === 'tool-call') {
      const { toolCallId: id, toolName: name, input } = part;
      calls.push({ id, type: 'function', function: { name, arguments: JSON.stringify(input ?? {}) } });
    } else refuse(at(j), `is of type ${part.type}; text, reasoning and tool calls are supported`);
  });
  return {
    role: 'assistant',
    content,
    ...(reasoning !== '' && { reasoning_content: reasoning }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

function outputOf(output: ToolOutput, field: string): string {
  switch (output.type) {
    case 'text':
    case 'error-text':
      return output.value;
    case 'json':
    case 'error-json':
      return JSON.stringify(output.value);
    case 'execution-denied':
      return output.reason ?? 'The user denied the call.';
    case 'content':
      return output.value
        .map((part) => (part.type === 'text' ? part.text : refuse(field, `has a ${part.type}; only text is supported`)))
        .join('');
  }
}

function refuse(field: string, reason: string): never {
  throw new ChunkwiseError('unsupported', { field, reason });
}
