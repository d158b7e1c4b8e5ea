import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { BoundedTemplate } from './bounded-template.ts';
import { UnsupportedError } from './jinja/errors.ts';

/** For models without a template, as llama.cpp does: ChatML, without a system message of its own. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** A turn as templates know it. */
export interface ChatTurn {
  role: string;
  content: string;
  /** Of an assistant's turn. Templates write arguments as JSON themselves. */
  tool_calls?: { id?: string; type: 'function'; function: { name: string; arguments: Record<string, unknown> } }[];
  /** Of a tool's turn: the call that it answers. */
  tool_call_id?: string;
  name?: string;
  /** What the calls of an assistant's turn gave, where a template has it there (Gemma 4). */
  tool_responses?: { name: string; response: unknown }[];
  /** What an assistant thought before its turn. */
  reasoning_content?: string;
}

/** A function that the model may call, in OpenAI's form, which is the one templates expect. */
export interface ToolDefinition {
  type: 'function';
  function: { name: string; description?: string; parameters?: Record<string, unknown> };
}

export interface ChatOptions {
  /** Opens the assistant's turn; default true. */
  addGenerationPrompt?: boolean;
  tools?: readonly ToolDefinition[] | undefined;
  /** Said to templates that ask, as Qwen's; default: nothing is said. */
  enableThinking?: boolean;
}

/** How deep a tool's parameters or a call's arguments may be nested. */
const MOST_DEPTH = 100;
/** Characters that a message or another object counts as, beside those in it: templates look at each several times. */
const ENTRY = 200;

const parsed = new WeakMap<TokenizerMetadata, BoundedTemplate>();

/**
 * The prompt text of a conversation, by the model's own `tokenizer.chat_template` (ChatML where it has none), to be
 * encoded with `parseSpecial`: what Python's Jinja2 writes, as transformers sets it up. Throws `bad_file` when the template
 * cannot be parsed or run, or does more than a template has to do; `unsupported` when it uses what Jinja2 has and this
 * package has not; `bad_request` when it refuses the messages, or these or tools are nested too deep.
 */
export function renderChat(
  metadata: TokenizerMetadata,
  messages: readonly ChatTurn[],
  { addGenerationPrompt = true, tools = [], enableThinking }: ChatOptions = {},
): string {
  const field = 'tokenizer.chat_template';
  const size = sizeOf(messages, 'messages') + sizeOf(tools, 'tools');
  const broken = (cause: unknown): ChunkwiseError => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const code = cause instanceof UnsupportedError ? 'unsupported' : 'bad_file';
    return new ChunkwiseError(code, { file: metadata.file, field, reason }, { cause });
  };
  const variables = {
    messages,
    ...(tools.length > 0 && { tools }), // templates ask whether it is defined
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

/** What a request brings, in characters. */
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
