import type { ResponseFormat } from '../../grammar/response-format.ts';
import type { ToolDefinition } from '../../tokenizer/chat-template.ts';
import type { ChatTraits } from '../../tokenizer/chat-traits.ts';
import type { WrittenCall } from './call-literals.ts';
import { jsonMembers } from './json-span.ts';

/** A call of one of these tools, as JSON and nothing else, whatever the form that the model writes calls in by itself. */
export function formatOfCall(tools: readonly ToolDefinition[]): ResponseFormat {
  const calls = tools.map(({ function: { name, parameters } }) => ({
    type: 'object',
    // Its references lead within it.
    properties: { name: { const: name }, arguments: { $id: name, ...closed(parameters), type: 'object' } },
    required: ['name', 'arguments'],
    additionalProperties: false,
  }));
  return { type: 'json_schema', schema: calls.length === 1 ? calls[0] : { anyOf: calls } };
}

/** Text in which what begins like a call is one of these tools, with arguments of its schema; undefined without tools. */
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

/** Keywords that may say which other properties there are. */
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

/** The parameters of a function, without arguments that they do not name, unless they say more about those. */
function closed(parameters: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
  const isOpen = !('properties' in parameters) || OPENING.some((keyword) => keyword in parameters);
  return isOpen ? parameters : { ...parameters, additionalProperties: false };
}

/** Reads an answer of that form: the call when it is whole; the text where `max_tokens` cut it off. */
export class ForcedCallReader {
  #text = '';

  push(piece: string): [] {
    this.#text += piece;
    return [];
  }

  flush(): (WrittenCall | string)[] {
    try {
      const { name } = JSON.parse(this.#text) as { name: string };
      return [{ name, arguments: jsonMembers(this.#text).get('arguments') ?? '' }]; // as it was written
    } catch {
      return [this.#text];
    }
  }
}
