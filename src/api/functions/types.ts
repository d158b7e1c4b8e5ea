import type { Json } from '../../functions/transform.ts';
import type { ChatDocument } from '../../tokenizer/chat-template.ts';
import type { MessageInput } from '../chat/parse-chat.ts';
import type { AnswerReport, Usage } from '../responses.ts';

/** Functions: adapters that answer one kind of question, with a file that says how to ask and how to read the answer. */

/** A sentence of an answer, and how well the documents support it. */
export interface FaithfulnessSpan {
  response_begin: number;
  response_end: number;
  response_text: string;
  explanation: string;
  faithfulness?: string;
  faithfulness_likelihood?: number;
}

/** A part of an answer, and the part of a document that it rests on. */
export interface CitationSpan {
  response_begin: number;
  response_end: number;
  response_text: string;
  citation_doc_id: string | null;
  citation_begin: number;
  citation_end: number;
  citation_text: string;
}

/**
 * Arguments and results of functions by name; of Granite's libraries as far as their releases agree. Add your own:
 * `declare module 'chunkwise' { interface FunctionTypes { triage: { arguments: {}; result: { team: string } } } }`.
 */
export interface FunctionTypes {
  query_rewrite: { arguments: NoArguments; result: { rewritten_question: string } };
  query_clarification: { arguments: NoArguments; result: { clarification: string } };
  answerability: {
    arguments: NoArguments;
    result: { answerability?: 'answerable' | 'unanswerable'; answerability_likelihood?: number };
  };
  context_relevance: { arguments: { document_content: string }; result: { context_relevance: string | number } };
  citations: { arguments: NoArguments; result: CitationSpan[] };
  hallucination_detection: { arguments: NoArguments; result: FaithfulnessSpan[] };
  uncertainty: { arguments: NoArguments; result: { certainty: number } };
  requirement_check: {
    arguments: { requirement: string };
    result: { requirement_likelihood?: number; requirement_check?: { score: number } };
  };
}

export type NoArguments = Readonly<Record<string, never>>;

/** The arguments of a function; of one whose types are unknown, texts by name. */
export type ArgumentsOf<N extends string> = N extends keyof FunctionTypes
  ? FunctionTypes[N]['arguments']
  : Readonly<Record<string, string>>;

/** The result of a function; of one whose types are unknown, any JSON. */
export type ResultOf<N extends string> = N extends keyof FunctionTypes ? FunctionTypes[N]['result'] : Json;

export interface FunctionRequest<N extends string = string> {
  /** The conversation that the question is about. */
  messages: MessageInput[];
  /** Texts that the function may read. Default: none. */
  documents?: readonly ChatDocument[];
  /** Texts for the function's instruction, by name. Default: none. */
  arguments?: ArgumentsOf<N>;
}

export interface FunctionAnswer<R> {
  name: string;
  /** The model's answer after the function's transformations. Places in texts count Unicode characters, as in Python. */
  result: R;
  /** The model's answer. */
  content: string;
  usage: Usage;
  chunkwise: AnswerReport;
}

/** `alora`: an activated adapter, which reuses what the base model has read. */
export type FunctionForm = 'alora' | 'lora';

export interface FunctionInfo {
  name: string;
  /** Whether its adapter is loaded; the first call loads it. */
  isLoaded: boolean;
  /** The library that it belongs to, as it was named; undefined for an adapter loaded by itself. */
  library?: string;
  /** Of a library's function. */
  form?: FunctionForm;
  /** Names of its arguments, once it is loaded. */
  arguments?: string[];
  /** Why a call would fail: what is wrong with the file of a loaded function. */
  problem?: string;
}

export interface LibraryOptions {
  /** Name of the base model's folders in the library. Default: the one that is part of the loaded model's name. */
  base?: string;
  /** Functions to list. Default: all that the library has for the base. */
  functions?: readonly string[];
  /** Paths of the library's files, for a server that lists none. Default: as the hub or the folder lists them. */
  files?: readonly string[];
}

export interface AdapterLibrary {
  /** Name of the base model's folders. */
  base: string;
  functions: FunctionInfo[];
}
