import type { GenerateOptions } from '../engine/types.ts';
import { guessSyntax, type ResponseFormat } from '../grammar/response-format.ts';
import { isRecord } from '../config/is-record.ts';
import { checkBoolean, checkInteger, checkJson, checkList, checkOneOf, checkText, describe, refuse } from './checks.ts';

/** Most answers to one request, and most tokens told at a place. */
const MAX_CHOICES = 8;
const MAX_TOP_LOGPROBS = 20;

/** Fields about how tokens are drawn and answers told apart. */
export const DECODING_FIELDS = {
  response_format: true,
  structured_outputs: true,
  logprobs: true,
  n: true,
  max_completion_tokens: true,
  // What OpenAI keeps beside a request: nothing is kept here.
  user: true,
  store: true,
  metadata: true,
  service_tier: true,
  safety_identifier: true,
  prompt_cache_key: true,
} as const;

/** Fields that would change the answer, with the value that does not. */
const UNSUPPORTED: Readonly<Record<string, unknown>> = {
  best_of: 1,
  echo: false,
  suffix: '',
  parallel_tool_calls: true,
};

/** Whether a field may be sent though nothing is done about it. Throws `bad_request` where something would have to be. */
export function isIdle(name: string, value: unknown): boolean {
  if (!Object.hasOwn(UNSUPPORTED, name)) return false;
  return value === UNSUPPORTED[name] || refuse(name, `is only supported as ${describe(UNSUPPORTED[name])}`);
}

type Decoding = Pick<GenerateOptions, 'maxTokens' | 'responseFormat' | 'topLogprobs'>;

/** Checks the lengths, formats and log-probabilities that are asked for. Throws `bad_request`, naming the field. */
export function parseDecoding(fields: Record<string, unknown>, kind: 'chat' | 'text'): Decoding {
  const name = fields['max_completion_tokens'] === undefined ? 'max_tokens' : 'max_completion_tokens';
  const responseFormat = parseFormat(fields);
  const topLogprobs = kind === 'chat' ? parseChatLogprobs(fields) : parseTextLogprobs(fields['logprobs']);
  return {
    ...(fields[name] !== undefined && { maxTokens: checkInteger(fields[name], name, 1) }),
    ...(responseFormat && { responseFormat }),
    ...(topLogprobs !== undefined && { topLogprobs }),
  };
}

export const parseChoices = (n: unknown): number => (n === undefined ? 1 : checkInteger(n, 'n', 1, MAX_CHOICES));

function parseChatLogprobs({ logprobs, top_logprobs: top }: Record<string, unknown>): number | undefined {
  const isAsked = checkBoolean(logprobs, 'logprobs');
  if (top === undefined) return isAsked ? 0 : undefined;
  if (!isAsked) refuse('top_logprobs', 'is only allowed with logprobs: true');
  return checkInteger(top, 'top_logprobs', 0, MAX_TOP_LOGPROBS);
}

const parseTextLogprobs = (logprobs: unknown): number | undefined =>
  logprobs === undefined ? undefined : checkInteger(logprobs, 'logprobs', 0, MAX_TOP_LOGPROBS);

function parseFormat(fields: Record<string, unknown>): ResponseFormat | undefined {
  const format = parseResponseFormat(fields['response_format']);
  const outputs = parseStructuredOutputs(fields['structured_outputs']);
  if (format && outputs) refuse('structured_outputs', 'cannot be combined with response_format');
  return format ?? outputs;
}

function parseResponseFormat(format: unknown): ResponseFormat | undefined {
  const field = 'response_format';
  if (format === undefined) return undefined;
  if (!isRecord(format)) refuse(field, `must be an object, but is ${describe(format)}`);
  const { type, json_schema: schema, grammar } = format;
  if (type === 'text') return undefined;
  if (type === 'json_object') return { type };
  if (type === 'json_schema') {
    if (!isRecord(schema)) refuse(`${field}.json_schema`, `must be an object, but is ${describe(schema)}`);
    const strict = checkBoolean(schema['strict'] ?? undefined, `${field}.json_schema.strict`);
    return {
      type,
      schema: plainJson(schema['schema'] ?? { type: 'object' }, `${field}.json_schema.schema`),
      ...(strict && { strict }),
    };
  }
  if (type === 'grammar') {
    const text = checkText(grammar, `${field}.grammar`);
    return {
      type,
      grammar: text,
      syntax: checkOneOf(SYNTAXES, format['syntax'], `${field}.syntax`) ?? guessSyntax(text),
    };
  }
  if (type === 'structural_tag') return { type, tag: plainJson(format, field) };
  return refuse(
    `${field}.type`,
    `must be one of text, json_object, json_schema, grammar, structural_tag, but is ${describe(type)}`,
  );
}

const SYNTAXES = ['ebnf', 'lark', 'regex'] as const;

const OUTPUTS = ['json', 'json_object', 'regex', 'choice', 'grammar', 'structural_tag'] as const;

/** vLLM's way to ask for a format: one of these. */
function parseStructuredOutputs(outputs: unknown): ResponseFormat | undefined {
  const field = 'structured_outputs';
  if (outputs === undefined) return undefined;
  if (!isRecord(outputs)) refuse(field, `must be an object, but is ${describe(outputs)}`);
  const names = Object.keys(outputs).filter((name) => outputs[name] !== undefined && outputs[name] !== null);
  const name = checkOneOf(OUTPUTS, names[0], field) ?? refuse(field, `must have one of ${OUTPUTS.join(', ')}`);
  if (names.length > 1) refuse(field, `must have one of ${OUTPUTS.join(', ')}, but has ${names.join(' and ')}`);
  const at = `${field}.${name}`;
  const format = parseOutput(name, outputs[name], at);
  return format && { ...format, field: at };
}

function parseOutput(name: (typeof OUTPUTS)[number], value: unknown, at: string): ResponseFormat | undefined {
  switch (name) {
    case 'json':
      return { type: 'json_schema', schema: plainJson(value, at) };
    case 'json_object':
      return checkBoolean(value, at) ? { type: 'json_object' } : undefined;
    case 'regex':
      return { type: 'grammar', grammar: checkText(value, at), syntax: 'regex' };
    case 'choice':
      return { type: 'choice', choices: checkList(value, at).map((text, i) => checkText(text, `${at}[${i}]`)) };
    case 'grammar': {
      const grammar = checkText(value, at);
      return { type: 'grammar', grammar, syntax: guessSyntax(grammar) };
    }
    case 'structural_tag':
      return { type: 'structural_tag', tag: plainJson(value, at) };
  }
}

/** A value as JSON has it: it can be sent to the worker. */
function plainJson(value: unknown, field: string): unknown {
  checkJson(value, field);
  try {
    return JSON.parse(JSON.stringify(value)) as unknown;
  } catch {
    return refuse(field, 'must be plain JSON');
  }
}
