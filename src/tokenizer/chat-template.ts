import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { LimitError, TemplateError, UnsupportedError } from './jinja/errors.ts';
import { compile, Interpreter, type Program } from './jinja/interpreter.ts';
import { strftime } from './jinja/format.ts';
import { Callable, fromJson, textOf, type Value } from './jinja/values.ts';

/** ChatML for models without a template, as in llama.cpp, without a default system message. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** A message in the form that templates expect. */
export interface ChatTurn {
  role: string;
  content: string;
  /** Calls of an assistant's turn. Templates convert arguments to JSON themselves. */
  tool_calls?: { id?: string; type: 'function'; function: { name: string; arguments: Record<string, unknown> } }[];
  /** For a tool's turn: the id of the answered call. */
  tool_call_id?: string;
  name?: string;
  /** Results of an assistant's calls, where a template expects them there (Gemma 4). */
  tool_responses?: { name: string; response: unknown }[];
  /** The assistant's reasoning before its turn. */
  reasoning_content?: string;
}

/** A function that the model may call, in OpenAI's form, which templates expect. */
export interface ToolDefinition {
  type: 'function';
  function: { name: string; description?: string; parameters?: Record<string, unknown> };
}

/** A text that the model may answer from, as templates read it. */
export interface ChatDocument {
  text: string;
  title?: string | undefined;
  doc_id?: string | undefined;
}

export interface ChatOptions {
  /** Opens the assistant's turn; default true. */
  addGenerationPrompt?: boolean;
  tools?: readonly ToolDefinition[] | undefined;
  documents?: readonly ChatDocument[] | undefined;
  /** Passed to templates with this switch, such as Qwen's; default: not passed. */
  enableThinking?: boolean;
}

/** Deepest nesting of a tool's parameters or a call's arguments. */
const MOST_DEPTH = 100;
/** Characters added per message or object: templates read each several times. */
const ENTRY = 200;

const parsed = new WeakMap<TokenizerMetadata, BoundedTemplate>();

/**
 * The prompt text of a conversation, rendered with the model's `tokenizer.chat_template` (default: ChatML), for
 * `encode` with `parseSpecial`. It equals the output of Python's Jinja2 as transformers sets it up. Throws `bad_file`
 * if the template cannot be parsed or run, or exceeds its limits; `unsupported` if it uses a feature of Jinja2 that is
 * missing here; `bad_request` if it refuses the messages, or if messages or tools nest too deep.
 */
export function renderChat(
  metadata: TokenizerMetadata,
  messages: readonly ChatTurn[],
  { addGenerationPrompt = true, tools = [], documents = [], enableThinking }: ChatOptions = {},
): string {
  const field = 'tokenizer.chat_template';
  const size = sizeOf(messages, 'messages') + sizeOf(tools, 'tools') + sizeOf(documents, 'documents');
  const broken = (cause: unknown): ChunkwiseError => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const code = cause instanceof UnsupportedError ? 'unsupported' : 'bad_file';
    return new ChunkwiseError(code, { file: metadata.file, field, reason }, { cause });
  };
  const variables = {
    messages,
    ...(tools.length > 0 && { tools }), // templates test whether it is defined
    ...(documents.length > 0 && { documents }),
    add_generation_prompt: addGenerationPrompt,
    ...(enableThinking !== undefined && { enable_thinking: enableThinking }),
    bos_token: tokenText(metadata, metadata.bosId),
    eos_token: tokenText(metadata, metadata.eosId),
  };
  const refuse = (reason: string): never => {
    throw new ChunkwiseError('bad_request', { file: metadata.file, field: 'messages', reason });
  };
  try {
    return parse(metadata).render(variables, size, refuse);
  } catch (error) {
    throw error instanceof ChunkwiseError ? error : broken(error);
  }
}

function parse(metadata: TokenizerMetadata): BoundedTemplate {
  const known = parsed.get(metadata);
  if (known !== undefined) return known;
  const template = new BoundedTemplate(metadata.chatTemplate ?? CHATML);
  parsed.set(metadata, template);
  return template;
}

/** Size of a request in characters. */
function sizeOf(value: unknown, field: string, depth = 0): number {
  if (depth > MOST_DEPTH) {
    throw new ChunkwiseError('bad_request', { field, reason: `is nested more than ${MOST_DEPTH} deep` });
  }
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 1;
  let size = ENTRY;
  for (const [key, inner] of Object.entries(value)) size += key.length + sizeOf(inner, field, depth + 1);
  return size;
}

const tokenText = (metadata: TokenizerMetadata, id: number | undefined): string =>
  id === undefined ? '' : (metadata.tokens[id] ?? '');

/** Longest template in characters; the longest known one has a quarter of it. */
const MOST_SOURCE = 1 << 17;
/**
 * Steps of a render, and further ones per input character; a step takes 0.1 to 0.6 µs. Known templates take 3 to 5 per
 * character in long conversations, 10 where they indent the JSON of tools.
 */
const STEPS = 250_000;
const STEPS_PER_CHARACTER = 16;

/** A model's chat template, run with limits on its work. */
export class BoundedTemplate {
  readonly #program: Program;

  /**
   * Throws a TemplateError for bad syntax, a LimitError if the source is too long or deep, an UnsupportedError for a
   * feature that only Jinja2 has.
   */
  constructor(source: string) {
    if (source.length > MOST_SOURCE)
      throw new LimitError(`it has ${source.length} characters; at most ${MOST_SOURCE} are supported`);
    this.#program = compile(source);
  }

  /**
   * Renders as Python's Jinja2 does in transformers' setup. `variables`: JSON; `refuse`: the template's
   * `raise_exception`; `size`: characters in `variables`, which raise the limit on steps. Throws a LimitError beyond
   * that limit, a TemplateError where Jinja2 refuses, an UnsupportedError where only Jinja2 would write something.
   */
  render(variables: Record<string, unknown>, size: number, refuse: (reason: string) => never): string {
    const steps = STEPS + STEPS_PER_CHARACTER * size;
    let left = steps;
    const spend = (count: number): void => {
      left -= count;
      if (!(left >= 0)) throw new LimitError(`it takes more than ${steps} steps`);
    };
    const given = new Map<string, Value>([
      ['raise_exception', taking('message', (message) => refuse(textOf(message, 'raise_exception')))],
      [
        'strftime_now',
        taking('format', (format) => {
          const text = textOf(format, 'strftime_now');
          spend(16 + text.length);
          return strftime(new Date(), text);
        }),
      ],
    ]);
    for (const [name, value] of Object.entries(variables)) given.set(name, fromJson(value));
    return new Interpreter(given, spend).run(this.#program);
  }
}

/** A function of one positional or named argument. */
function taking(param: string, call: (value: Value) => Value): Callable {
  return new Callable(undefined, (args, kwargs) => {
    const value = args[0] ?? kwargs.get(param);
    if (value === undefined || args.length + kwargs.size !== 1) throw new TemplateError(`it takes one ${param}`);
    return call(value);
  });
}
