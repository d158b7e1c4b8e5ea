/** What an answer must look like. */
export type ResponseFormat = Format & {
  /** What errors name; default: what OpenAI's requests call it. */
  field?: string;
};

type Format =
  /** Any JSON object. */
  | { type: 'json_object' }
  /** A value of this JSON Schema: an object, or true. `strict` refuses keywords that are unknown. */
  | { type: 'json_schema'; schema: unknown; strict?: boolean }
  /**
   * `ebnf` (the default): with a rule `root`, as XGrammar and llama.cpp read it. `lark`: with a rule `start`, as llguidance
   * reads it. `regex`: the whole answer matches.
   */
  | { type: 'grammar'; grammar: string; syntax?: 'ebnf' | 'lark' | 'regex' }
  /** One of these texts. */
  | { type: 'choice'; choices: readonly string[] }
  /** Free text, in which what follows a trigger is held to a format. */
  | { type: 'structural_tag'; tag: unknown }
  /**
   * Free text, in which calls of these functions are held to their parameters' schemas. `notation`: how the model writes
   * calls. `opensReasoning`: the prompt ends within `<think>`.
   */
  | { type: 'tool_calls'; notation: string; tools: readonly ToolSchema[]; opensReasoning: boolean };

export interface ToolSchema {
  name: string;
  /** A JSON Schema; default: any object. */
  parameters?: unknown;
  /** Refuses parameters that cannot be enforced; otherwise they may be any object. */
  strict?: boolean;
}

/** What a grammar looks like whose syntax nobody names. */
export const guessSyntax = (grammar: string): 'ebnf' | 'lark' => (/^\s*[\w-]+\s*::=/m.test(grammar) ? 'ebnf' : 'lark');

/** The field of a request that a format's errors name. */
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
