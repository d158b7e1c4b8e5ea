import { Template } from '@huggingface/jinja';
import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** For models without a template, as llama.cpp does: ChatML, without a system message of its own. */
const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

export interface ChatTurn {
  role: string;
  content: string;
}

/**
 * What `raise_exception` is renamed to: the library defines it, does not let it be replaced, and throws a plain Error
 * that looks like one of its own.
 */
const REFUSE = 'refuse_messages';

const parsed = new WeakMap<TokenizerMetadata, Template>();

/**
 * The prompt text of a conversation, by the model's own `tokenizer.chat_template` (ChatML where it has none), to be
 * encoded with `parseSpecial`. `addGenerationPrompt` opens the assistant's turn. Throws `bad_file` when the template
 * cannot be parsed or run, `bad_request` when it refuses the messages.
 */
export function renderChat(
  metadata: TokenizerMetadata,
  messages: readonly ChatTurn[],
  { addGenerationPrompt = true }: { addGenerationPrompt?: boolean } = {},
): string {
  const field = 'tokenizer.chat_template';
  const broken = (cause: unknown): ChunkwiseError => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new ChunkwiseError('bad_file', { file: metadata.file, field, reason }, { cause });
  };
  try {
    return parse(metadata).render({
      messages,
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
