import type { TokenizerMetadata } from '../config/tokenizer-metadata.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type ChatTurn, renderChat } from '../tokenizer/chat-template.ts';
import { type ChatTraits, chatTraits, endsInReasoning, withMarkers } from '../tokenizer/chat-traits.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import type { PromptTokens } from './running-request.ts';
import { commonPrefix } from '../session/sequence.ts';
import type { ChatExtras, GenerateOptions } from './types.ts';

/**
 * Turns inputs into tokens, and refuses those that exceed the context. `shifts`: the text may exceed the context;
 * otherwise tokens beyond it are not even made.
 */
export class Texts {
  /** Keeps the markers of tool calls and reasoning in the text. */
  readonly chatTokenizer: Tokenizer;
  readonly chatTraits: ChatTraits;

  constructor(
    readonly tokenizer: Tokenizer,
    private readonly metadata: TokenizerMetadata,
    readonly contextLength: number,
  ) {
    this.chatTokenizer = withMarkers(tokenizer, metadata);
    this.chatTraits = chatTraits(metadata);
  }

  prompt(text: string, shifts: boolean): PromptTokens {
    return { tokens: this.tokenizer.encode(text, { maxTokens: this.#mostTokens(shifts) }), kept: 0 };
  }

  chat(messages: readonly ChatTurn[], extras: ChatExtras, shifts: boolean): PromptTokens {
    const tokens = this.encodeChat(messages, extras, this.#mostTokens(shifts));
    // Eviction needs `kept` only if the text may exceed the context.
    const kept = shifts ? commonPrefix(tokens, this.encodeChat(withAnyTurn(messages), extras)) : 0;
    return { tokens, kept };
  }

  encodeChat(messages: readonly ChatTurn[], extras: ChatExtras = {}, maxTokens?: number): number[] {
    return this.tokenizer.encode(renderChat(this.metadata, messages, extras), { parseSpecial: true, maxTokens });
  }

  /** A message that asks to repeat the text before it. A chat template that refuses it is left out. */
  askToRepeat(): number[] {
    const content = 'Repeat the text above.';
    try {
      return this.encodeChat([{ role: 'user', content }]);
    } catch (error) {
      if (!(error instanceof ChunkwiseError)) throw error;
      return this.tokenizer.encode(content);
    }
  }

  /**
   * A chat whose answer starts without reasoning, and its tokens. Errors: `context_overflow`, naming `field`;
   * `unsupported`.
   */
  unreasoned(messages: readonly ChatTurn[], field: string): { text: string; tokens: number[] } {
    const text = renderChat(this.metadata, messages, { enableThinking: false });
    if (endsInReasoning(text)) {
      const reason = 'its chat template begins every answer with reasoning, which cannot be left out';
      throw new ChunkwiseError('unsupported', { file: this.metadata.file, field: 'tokenizer.chat_template', reason });
    }
    return { text, tokens: this.tokenizer.encode(text, { parseSpecial: true, maxTokens: this.contextLength, field }) };
  }

  /** The tokens of a text to embed. Errors: `bad_request`, `context_overflow`, naming `field`. */
  input(input: string | readonly number[], field: string): readonly number[] {
    const { vocabSize } = this.tokenizer;
    const tokens =
      typeof input === 'string' ? this.tokenizer.encode(input, { maxTokens: this.contextLength, field }) : input;
    const unknown = tokens.find((token) => token >= vocabSize);
    if (tokens.length === 0) throw new ChunkwiseError('bad_request', { field, reason: 'it has no tokens' });
    if (unknown !== undefined) {
      throw new ChunkwiseError('bad_request', {
        field,
        reason: `token ${unknown} is not in the vocabulary of ${vocabSize}`,
      });
    }
    if (tokens.length <= this.contextLength) return tokens;
    throw new ChunkwiseError('context_overflow', {
      field,
      reason: `${tokens.length} tokens exceed the context of ${this.contextLength}`,
    });
  }

  /** Errors: `bad_request`, `context_overflow`. */
  check({ tokens }: PromptTokens, shifts: boolean, { sampling }: GenerateOptions): void {
    if (tokens.length === 0) throw new ChunkwiseError('bad_request', { field: 'prompt', reason: 'it is empty' });
    if (!shifts && tokens.length >= this.contextLength) {
      const reason = `${tokens.length} tokens leave no room for an answer in a context of ${this.contextLength}`;
      throw new ChunkwiseError('context_overflow', { field: 'prompt', reason });
    }
    for (const token of sampling.logitBias.keys()) {
      if (token < this.tokenizer.vocabSize) continue;
      const reason = `token ${token} is not in the vocabulary of ${this.tokenizer.vocabSize}`;
      throw new ChunkwiseError('bad_request', { field: 'logit_bias', reason });
    }
  }

  #mostTokens(shifts: boolean): number | undefined {
    return shifts ? undefined : this.contextLength;
  }
}

/** The system prompt, and a question that no chat starts with. */
function withAnyTurn(messages: readonly ChatTurn[]): ChatTurn[] {
  const firstTurn = messages.findIndex(({ role }) => role !== 'system');
  return [...messages.slice(0, Math.max(0, firstTurn)), { role: 'user', content: '\u0007' }];
}
