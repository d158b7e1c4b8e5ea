/** What is asked, and told, of how tokens are drawn. */

/** JSON Schema 2020-12: an object, or true. */
export type JsonSchema = Readonly<Record<string, unknown>> | boolean;

/**
 * What an answer must look like. With `json_object` it is a JSON object. With `json_schema` it is valid by the schema
 * (drafts 4 to 2020-12), with properties in the schema's order; keywords that no validator reads are ignored, and listed in
 * the answer's `chunkwise.ignored`, or refused with `strict`. `grammar` is EBNF with a rule `root`, as XGrammar and llama.cpp
 * read it, Lark with a rule `start`, as llguidance reads it, or a regular expression; `syntax` defaults to what it looks
 * like. `structural_tag` is XGrammar's. What cannot be enforced is refused with `bad_request`, naming the keyword. An answer
 * that `max_tokens` cuts off is not valid: its `finish_reason` is `length`.
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

/** vLLM's way to ask for a format: one of these. */
export interface StructuredOutputs {
  json?: JsonSchema;
  json_object?: boolean;
  regex?: string;
  choice?: readonly string[];
  /** EBNF or Lark. */
  grammar?: string;
  structural_tag?: object;
}

/** A token with its log-probability (natural) by the model's own logits: before temperature, penalties, bias and grammar. */
export interface ChatTokenLogprob {
  token: string;
  logprob: number;
  /** UTF-8; null of a control token. */
  bytes: number[] | null;
}

/** Of each token of the answer, but one that ends it; with the likeliest tokens at its place, most probable first. */
export interface ChatLogprobs {
  content: (ChatTokenLogprob & { top_logprobs: ChatTokenLogprob[] })[];
  refusal: null;
}

/** The same as OpenAI's completions give it, a list for each value. */
export interface TextLogprobs {
  tokens: string[];
  token_logprobs: number[];
  top_logprobs: Record<string, number>[];
  /** Where each token begins in the choice's text, in UTF-16 units. */
  text_offset: number[];
}
