/** What is asked, and told, of how tokens are drawn. */

/** JSON Schema 2020-12: an object, or true. */
export type JsonSchema = Readonly<Record<string, unknown>> | boolean;

/**
 * What an answer must look like. With `json_object` it is a JSON object; with `json_schema` it is valid by the schema,
 * whatever `strict` says: properties come in the schema's order, and others only where `additionalProperties` is true or
 * a schema. `grammar` is EBNF with a rule `root`, as XGrammar reads it; its classes of characters are for ASCII. What
 * cannot be kept to is refused with `bad_request`, naming the keyword. An answer that `max_tokens` cuts off is no longer
 * valid: its `finish_reason` is `length`.
 */
export type ResponseFormat =
  | { type: 'text' }
  | { type: 'json_object' }
  | {
      type: 'json_schema';
      json_schema: { name: string; description?: string; schema?: JsonSchema; strict?: boolean | null };
    }
  | { type: 'grammar'; grammar: string };

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
