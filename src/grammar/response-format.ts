/** What an answer must look like. */
export type ResponseFormat =
  /** Any JSON object. */
  | { type: 'json_object' }
  /** A value of this JSON Schema: an object, or true. Properties come in the schema's order. */
  | { type: 'json_schema'; schema: unknown }
  /** EBNF as @mlc-ai/web-xgrammar reads it, which begins at the rule `root`. */
  | { type: 'grammar'; grammar: string };
