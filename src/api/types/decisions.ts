/** Decisions: typed questions about a text, answered with probabilities; in the shapes of OpenAI's Decisions API. */
import type { AdapterRequest } from './requests.ts';
import type { AnsweredBy } from './responses.ts';

export interface DecisionInputText {
  type: 'input_text';
  text: string;
}

export interface DecisionInputJson {
  type: 'input_json';
  /** Is read as its JSON text. */
  data: Record<string, unknown> | readonly Record<string, unknown>[];
}

export type DecisionInputPart = DecisionInputText | DecisionInputJson;

/** A message. Parts are joined, an empty line between two. */
export type DecisionMessage =
  | { type?: 'message'; role: 'user'; content: string | readonly DecisionInputPart[] }
  | { type?: 'message'; role: 'developer' | 'system'; content: string | readonly DecisionInputText[] }
  | {
      type?: 'message';
      role: 'assistant';
      content: string | readonly ({ type: 'output_text'; text: string } | { type: 'refusal'; refusal: string })[];
    };

/** A call, or what it gave, for models whose chat template shows them. Each output follows its call. */
export type DecisionToolItem =
  | { type: 'function_call'; call_id: string; name: string; arguments: string }
  | { type: 'custom_tool_call'; call_id: string; name: string; input: string }
  | {
      type: 'function_call_output' | 'custom_tool_call_output';
      call_id: string;
      output: string | readonly DecisionInputText[];
    };

interface QuestionFields {
  /** Stands with the answer. Default: null. */
  name?: string;
  /** What is asked. */
  instructions: string | readonly DecisionInputPart[];
  /** A loaded adapter to answer it with, or several, summed. Default: the request's. */
  adapter?: string | AdapterRequest[];
  /** Divides log-probabilities before they are shares of one, above 0 to 100. Default: what comes with the adapter, or 1. */
  temperature?: number;
}

/** How likely it is that something is true of the input. */
export interface DecisionPredicate extends QuestionFields {
  type: 'predicate';
  /** What yes and no mean. Default: nothing is said. */
  criteria?: { true?: string; false?: string };
}

/** Which of 1 to 255 choices fits the input. Values are distinct; `"true"` and `true` are two. */
export interface DecisionChoice extends QuestionFields {
  type: 'choice';
  choices: readonly { value: string | boolean; description?: string }[];
}

/** Which of 2 to 255 levels, the lowest first, the input has. */
export interface DecisionScore extends QuestionFields {
  type: 'score';
  levels: readonly { label: string; description?: string }[];
}

export type DecisionQuestion = DecisionPredicate | DecisionChoice | DecisionScore;

export interface DecisionRequest {
  /** Of no effect: an engine has one model. `engine.fetch` answers with the adapter of that name. Default: the engine's. */
  model?: string;
  /** What is asked about: a text, or a conversation. */
  input: string | readonly (DecisionMessage | DecisionToolItem)[];
  /** 1 to 400. */
  questions: readonly DecisionQuestion[];
  /** Of questions that name none: a loaded adapter, or several, summed. Default: none. */
  adapter?: string | AdapterRequest[];
  /**
   * Asks each question so many times, 1 to 16, with its options in other orders, and gives the mean of the probabilities: models
   * prefer places and letters. At most as many times as there are orders: choices rotate, others are turned round. Of all
   * questions at most 1,024 times. Default: 1.
   */
  permutations?: number;
  /** A question whose labels have less of the whole vocabulary's probability is answered with a refusal, 0 to 1. Default: 0, none. */
  min_label_mass?: number;
  /** Tells the tokens that were read of each question; with one permutation. Default: false. */
  return_prompt_token_ids?: boolean;
  /** Taken and of no effect, as the three that follow. */
  prompt_cache_key?: string | null;
  prompt_cache_options?: object | null;
  safety_identifier?: string | null;
  user?: string;
}

/** How a question was read. */
export interface AnswerFields {
  name: string | null;
  /** What the labels have of the whole vocabulary's probability, 0 to 1: little where the model wanted to say something else. */
  label_mass: number;
  /** The likeliest token of all begins a label, in each permutation. */
  argmax_is_label: boolean;
  /** What was read, as the model's tokens; see `return_prompt_token_ids`. */
  prompt_token_ids?: number[];
}

/** `probability`: of yes. */
export type PredicateAnswer = AnswerFields & { type: 'predicate'; probability: number };

/** `confidence`: the probability of the choice among the whole vocabulary, its share times `label_mass`. */
export type ChoiceAnswer = AnswerFields & {
  type: 'choice';
  choice: string | boolean;
  confidence: number;
  probabilities: { value: string | boolean; probability: number }[];
};

/** `score`: the expected level, the first being 0. `confidence`: that of the likeliest level, as of a choice. */
export type ScoreAnswer = AnswerFields & {
  type: 'score';
  score: number;
  confidence: number;
  probabilities: { value: number; label: string; probability: number }[];
};

/** The labels had less than `min_label_mass`. */
export type RefusalAnswer = AnswerFields & { type: 'refusal' };

export type DecisionAnswer = PredicateAnswer | ChoiceAnswer | ScoreAnswer | RefusalAnswer;

export interface Decision {
  model: string;
  /** In the order of the questions. */
  answers: DecisionAnswer[];
  usage: {
    /** Of all readings: the input counts in each. */
    input_tokens: number;
    input_tokens_details: {
      /** Of these, those whose keys and values were in the cache, where the first reading leaves the input. */
      cached_tokens: number;
      /** Always 0. */
      cache_write_tokens: number;
      /** Tokens of the input that were computed once more, for adapters that are not activated ones. */
      read_again_tokens: number;
    };
    /** One a reading. */
    output_tokens: number;
    output_tokens_details: { reasoning_tokens: number };
    total_tokens: number;
  };
  chunkwise: { answeredBy: AnsweredBy };
}

/** A question with its right answer: whether it is so, the value of a choice, or the label or place of a level. */
export interface DecisionExample {
  input: DecisionRequest['input'];
  question: DecisionQuestion;
  answer: string | boolean | number;
}

export interface CalibrationRequest {
  /** As many as there are, of one type or several. */
  examples: readonly DecisionExample[];
  /** Of questions that name none. Default: none. */
  adapter?: DecisionRequest['adapter'];
  /** As in a request. Default: 1. */
  permutations?: number;
}

/** `before`: with a temperature of 1. */
export interface Fitted {
  examples: number;
  /** What divides log-probabilities so that those of the right answers are highest, 0.05 to 20. */
  temperature: number;
  /** Mean negative log-probability of the right answer, in nats. */
  nll: { before: number; after: number };
  /** Expected calibration error: how far the likeliest answers' probabilities lie from how often they are right, in ten bins. */
  ece: { before: number; after: number };
}

/** By type of question: those that examples have. */
export type Calibration = Partial<Record<DecisionQuestion['type'], Fitted>>;
