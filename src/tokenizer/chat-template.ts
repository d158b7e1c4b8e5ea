import { Template } from '@huggingface/jinja';
import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

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
}

/**
 * What `raise_exception` is renamed to: the library defines it, does not let it be replaced, and throws a plain Error
 * that looks like one of its own.
 */
const REFUSE = 'refuse_messages';

const parsed = new WeakMap<TokenizerMetadata, Template>();

/**
 * The prompt text of a conversation, by the model's own `tokenizer.chat_template` (ChatML where it has none), to be
 * encoded with `parseSpecial`. Throws `bad_file` when the template cannot be parsed or run, `bad_request` when it
 * refuses the messages.
 */
export function renderChat(
  metadata: TokenizerMetadata,
  messages: readonly ChatTurn[],
  { addGenerationPrompt = true, tools = [] }: ChatOptions = {},
): string {
  const field = 'tokenizer.chat_template';
  const broken = (cause: unknown): ChunkwiseError => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new ChunkwiseError('bad_file', { file: metadata.file, field, reason }, { cause });
  };
  try {
    return parse(metadata).render({
      messages,
      ...(tools.length > 0 && { tools }), // templates ask whether it is defined
      add_generation_prompt: addGenerationPrompt,
      bos_token: tokenText(metadata, metadata.bosId),
      eos_token: tokenText(metadata, metadata.eosId),
      [REFUSE](message: string) {
        throw new ChunkwiseError('bad_request', { file: metadata.file, field: 'messages', reason: message });
      },
    });
  } catch (error) {
    throw error instanceof ChunkwiseError ? error : broken(error);
  }
}

function parse(metadata: TokenizerMetadata): Template {
  const known = parsed.get(metadata);
  if (known !== undefined) return known;
  const source = metadata.chatTemplate ?? CHATML;
  const template = new Template(source.replace(/\braise_exception\b/g, REFUSE));
  parsed.set(metadata, template);
  return template;
}

const tokenText = (metadata: TokenizerMetadata, id: number | undefined): string =>
  id === undefined ? '' : (metadata.tokens[id] ?? '');
