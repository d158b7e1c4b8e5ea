/** Format of an answer. */
export type ResponseFormat = Format & {
  /** Request field that errors name. Default: the name in OpenAI's requests. */
  field?: string;
};

type Format =
  /** Any JSON object. */
  | { type: 'json_object' }
  /** A value that is valid against this JSON Schema: an object, or true. `strict` refuses unknown keywords. */
  | { type: 'json_schema'; schema: unknown; strict?: boolean }
  /**
   * `ebnf` (the default): has a rule `root`, in the syntax of XGrammar and llama.cpp. `lark`: has a rule `start`, in
   * the syntax of llguidance. `regex`: matches the whole answer.
   */
  | { type: 'grammar'; grammar: string; syntax?: 'ebnf' | 'lark' | 'regex' }
  /** One of these texts. */
  | { type: 'choice'; choices: readonly string[] }
  /** Free text; the text after a trigger must match a format. */
  | { type: 'structural_tag'; tag: unknown }
  /**
   * Free text; calls of these functions must match the schemas of their parameters. `notation`: the model's notation
   * for calls. `opensReasoning`: the prompt ends within `<think>`.
   */
  | { type: 'tool_calls'; notation: string; tools: readonly ToolSchema[]; opensReasoning: boolean };

export interface ToolSchema {
  name: string;
  /** A JSON Schema; default: any object. */
  parameters?: unknown;
  /** Refuses a schema that cannot be enforced; otherwise the parameters may then be any object. */
  strict?: boolean;
}

/** Guesses the syntax of a grammar if the request names none. */
export const guessSyntax = (grammar: string): 'ebnf' | 'lark' => (/^\s*[\w-]+\s*::=/m.test(grammar) ? 'ebnf' : 'lark');

/** The request field that errors of a format name. */
export function fieldOf(format: ResponseFormat): string {
  if (format.field !== undefined) return format.field;
  switch (format.type) {
    case 'json_schema':
      return 'response_format.json_schema.schema';
    case 'grammar':
      return 'response_format.grammar';
    case 'choice':
      return 'structured_outputs.choice';
    case 'structural_tag':
      return 'response_format';
    case 'tool_calls':
      return 'tools';
    case 'json_object':
      return 'response_format';
  }
}
