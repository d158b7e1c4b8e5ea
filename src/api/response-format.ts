/** Formats that an answer must follow: OpenAI's `response_format` and vLLM's `structured_outputs`. */
import { guessSyntax, type ResponseFormat as EngineFormat } from '../grammar/response-format.ts';
import { checkBoolean, checkJson, checkList, checkOneOf, checkText, describe, refuse, checkRecord } from './checks.ts';

/** JSON Schema 2020-12: an object, or true. */
export type JsonSchema = Readonly<Record<string, unknown>> | boolean;

/**
 * The format that an answer must follow. `json_object`: any JSON object. `json_schema`: JSON that the schema (drafts 4 to
 * 2020-12) accepts, with properties in the schema's order. Keywords that validators ignore are ignored too, and listed in the
 * answer's `chunkwise.ignored`; `strict` refuses them. `grammar`: EBNF with a rule `root`, as XGrammar and llama.cpp read it;
 * Lark with a rule `start`, as llguidance reads it; or a regular expression. `syntax` tells which; the default is guessed
 * from the text. `structural_tag`: as in XGrammar. A format that cannot be enforced is refused with `bad_request`, naming
 * the keyword. An answer that `max_tokens` cuts off is not valid: its `finish_reason` is `length`.
 */
export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema';
      json_schema: { name: string; description?: string; schema?: JsonSchema; strict?: boolean | null };
    }
  | { type: 'grammar'; grammar: string; syntax?: 'ebnf' | 'lark' | 'regex' }
  | { type: 'structural_tag'; structures: readonly object[]; triggers: readonly string[] }
  | { type: 'structural_tag'; format: object };

/** A format as vLLM's clients ask for it: exactly one of these. */
export interface StructuredOutputs {
  json?: JsonSchema;
  json_object?: boolean;
  regex?: string;
  choice?: readonly string[];
  /** EBNF or Lark. */
  grammar?: string;
  structural_tag?: object;
}

/** Checks a `response_format`. Returns undefined for plain text. Throws `bad_request`, naming the field. */
export function parseResponseFormat(format: unknown, field: string): EngineFormat | undefined {
  const { type, json_schema: schema, grammar, syntax } = checkRecord(format, field);
  if (type === 'text') return undefined;
  if (type === 'json_object') return { type };
  if (type === 'json_schema') {
    const given = checkRecord(schema, `${field}.json_schema`);
    const strict = checkBoolean(given['strict'], `${field}.json_schema.strict`);
    return {
      type,
      schema: plainJson(given['schema'] ?? { type: 'object' }, `${field}.json_schema.schema`),
      ...(strict && { strict }),
    };
  }
  if (type === 'grammar') {
    const text = checkText(grammar, `${field}.grammar`);
    return {
      type,
      grammar: text,
      syntax: syntax === undefined ? guessSyntax(text) : checkOneOf(SYNTAXES, syntax, `${field}.syntax`),
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

/** Checks `structured_outputs`. Returns undefined for plain text. Throws `bad_request`, naming the field. */
export function parseStructuredOutputs(outputs: unknown, field: string): EngineFormat | undefined {
  const given = Object.entries(checkRecord(outputs, field)).filter(
    ([, value]) => value !== undefined && value !== null,
  );
  const [first, ...more] = given;
  if (!first || more.length > 0) {
    const names = given.map(([name]) => name).join(' and ');
    refuse(field, `must have one of ${OUTPUTS.join(', ')}${first ? `, but has ${names}` : ''}`);
  }
  const name = checkOneOf(OUTPUTS, first[0], field);
  const at = `${field}.${name}`;
  const format = parseOutput(name, first[1], at);
  return format && { ...format, field: at };
}

function parseOutput(name: (typeof OUTPUTS)[number], value: unknown, at: string): EngineFormat | undefined {
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

/** Returns a copy that holds JSON values only, which can be sent to the worker. */
function plainJson(value: unknown, field: string): unknown {
  checkJson(value, field);
  try {
    return JSON.parse(JSON.stringify(value)) as unknown;
  } catch {
    return refuse(field, 'must be plain JSON');
  }
}
