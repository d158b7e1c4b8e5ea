import type { AdapterRequest } from '../adapters.ts';
import type { AnsweredBy } from '../responses.ts';

/** Decisions: typed questions about an input, answered with probabilities, in the shapes of OpenAI's Decisions API. */

export interface DecisionInputText {
  type: 'input_text';
  text: string;
}

export interface DecisionInputJson {
  type: 'input_json';
  /** The model reads its JSON text. */
  data: Record<string, unknown> | readonly Record<string, unknown>[];
}

export type DecisionInputPart = DecisionInputText | DecisionInputJson;

/** A message. Parts are joined with an empty line between them. */
export type DecisionMessage =
  | { type?: 'message'; role: 'user'; content: string | readonly DecisionInputPart[] }
  | { type?: 'message'; role: 'developer' | 'system'; content: string | readonly DecisionInputText[] }
  | {
      type?: 'message';
      role: 'assistant';
      content: string | readonly ({ type: 'output_text'; text: string } | { type: 'refusal'; refusal: string })[];
    };

/** A tool call or its output, for models whose chat template has tools. Each output follows its call. */
export type DecisionToolItem =
  | { type: 'function_call'; call_id: string; name: string; arguments: string }
  | { type: 'custom_tool_call'; call_id: string; name: string; input: string }
  | {
      type: 'function_call_output' | 'custom_tool_call_output';
      call_id: string;
      output: string | readonly DecisionInputText[];
    };

interface QuestionFields {
  /** Copied to the answer. Default: null. */
  name?: string;
  /** The question. */
  instructions: string | readonly DecisionInputPart[];
  /** A loaded adapter to answer with, or the sum of several. Default: the request's. */
  adapter?: string | AdapterRequest[];
  /** Divides the options' log-probabilities before they are normalized, above 0 to 100. Default: the adapter's, or 1. */
  temperature?: number;
}

/** Whether something is true of the input. */
export interface DecisionPredicate extends QuestionFields {
  type: 'predicate';
  /** Meanings of yes and no. Default: none. */
  criteria?: { true?: string; false?: string };
}

/** Which of 1 to 255 choices fits the input. Values must be distinct; `"true"` and `true` differ. */
export interface DecisionChoice extends QuestionFields {
  type: 'choice';
  choices: readonly { value: string | boolean; description?: string }[];
}

/** Which of 2 to 255 levels, lowest first, the input has. */
export interface DecisionScore extends QuestionFields {
  type: 'score';
  levels: readonly { label: string; description?: string }[];
}

export type DecisionQuestion = DecisionPredicate | DecisionChoice | DecisionScore;

export interface DecisionRequest {
  /** No effect: an engine has one model. `engine.fetch` answers with the adapter of that name. Default: the engine's. */
  model?: string;
  /** Subject of the questions: a text, or a conversation. */
  input: string | readonly (DecisionMessage | DecisionToolItem)[];
  /** 1 to 400. */
  questions: readonly DecisionQuestion[];
  /** For questions without one: a loaded adapter, or the sum of several. Default: none. */
  adapter?: string | AdapterRequest[];
  /**
   * Asks each question this many times, 1 to 16, with its options in different orders, and averages the probabilities,
   * because models prefer some places and letters. The number of orders limits it: choices rotate, other options only reverse.
   * All questions together are asked at most 1,024 times. Default: 1.
   */
  permutations?: number;
  /** Answers with a refusal if the question's labels have less than this share of the vocabulary's probability, 0 to 1. Default: 0, never. */
  min_label_mass?: number;
  /** Returns the prompt's tokens for each question; only with one permutation. Default: false. */
  return_prompt_token_ids?: boolean;
  /** Accepted without effect, as are the next three fields. */
  prompt_cache_key?: string | null;
  prompt_cache_options?: object | null;
  safety_identifier?: string | null;
  user?: string;
}

/** Fields of every answer. */
export interface AnswerFields {
  name: string | null;
  /** The labels' share of the vocabulary's probability, 0 to 1; small if the model would rather say something else. */
  label_mass: number;
  /** Whether the likeliest token of the vocabulary begins a label, in each permutation. */
  argmax_is_label: boolean;
  /** The prompt's tokens; see `return_prompt_token_ids`. */
  prompt_token_ids?: number[];
}

/** `probability`: that the answer is yes. */
export type PredicateAnswer = AnswerFields & { type: 'predicate'; probability: number };

/** `confidence`: the choice's probability in the whole vocabulary, which is its own probability times `label_mass`. */
export type ChoiceAnswer = AnswerFields & {
  type: 'choice';
  choice: string | boolean;
  confidence: number;
  probabilities: { value: string | boolean; probability: number }[];
};

/** `score`: the expected level, counted from 0. `confidence`: of the likeliest level, as for a choice. */
export type ScoreAnswer = AnswerFields & {
  type: 'score';
  score: number;
  confidence: number;
  probabilities: { value: number; label: string; probability: number }[];
};

/** The labels had less probability than `min_label_mass`. */
export type RefusalAnswer = AnswerFields & { type: 'refusal' };

export type DecisionAnswer = PredicateAnswer | ChoiceAnswer | ScoreAnswer | RefusalAnswer;

export interface Decision {
  model: string;
  /** Answers in the order of the questions. */
  answers: DecisionAnswer[];
  usage: {
    /** Tokens of all readings; the input counts in each. */
    input_tokens: number;
    input_tokens_details: {
      /** Input tokens whose keys and values were in the prefix cache; the first reading puts the input there. */
      cached_tokens: number;
      /** Always 0. */
      cache_write_tokens: number;
      /** Input tokens that were computed again, for adapters that are not activated ones. */
      read_again_tokens: number;
    };
    /** One for each reading. */
    output_tokens: number;
    output_tokens_details: { reasoning_tokens: number };
    total_tokens: number;
  };
  chunkwise: { answeredBy: AnsweredBy };
}

/** A question with its right answer: true or false, the value of a choice, or the label or index of a level. */
export interface DecisionExample {
  input: DecisionRequest['input'];
  question: DecisionQuestion;
  answer: string | boolean | number;
}

export interface CalibrationRequest {
  /** Any number of examples, of one type or several. */
  examples: readonly DecisionExample[];
  /** Adapter for questions without one. Default: none. */
  adapter?: DecisionRequest['adapter'];
  /** See `DecisionRequest`. Default: 1. */
  permutations?: number;
}

/** A fitted temperature. `before`: with a temperature of 1. */
export interface Fitted {
  examples: number;
  /** The temperature with the lowest `nll`, 0.05 to 20. */
  temperature: number;
  /** Mean negative log-probability of the right answer, in nats. */
  nll: { before: number; after: number };
  /** Expected calibration error: mean distance between the likeliest answers' probabilities and their accuracy, in ten bins. */
  ece: { before: number; after: number };
}

/** Fitted temperatures, for each type of question in the examples. */
export type Calibration = Partial<Record<DecisionQuestion['type'], Fitted>>;
