import { pagesFor } from '../cache/kv-cache.ts';
import { policyOf } from '../cache/kv-options.ts';
import { largest } from '../config/largest.ts';
import { unlessAborted } from '../errors/throw-if-aborted.ts';
import type { ResponseFormat } from '../grammar/response-format.ts';
import type { Grammars, TokenGrammar } from '../grammar/token-grammar.ts';
import type { ChatTurn } from '../tokenizer/chat-template.ts';
import type { Tokenizer } from '../tokenizer/tokenizer.ts';
import { embedText } from './embed-text.ts';
import { LabelReader } from './label-reader.ts';
import { answerLimit, generate, mayShift, type PromptTokens } from './generation/generate.ts';
import type { LiveSession } from './live-session.ts';
import type { Requests } from './requests.ts';
import type { Texts } from './texts.ts';
import type {
  ChatTools,
  EmbedOptions,
  GenerateEvent,
  GenerateOptions,
  LabelRead,
  LabelScores,
  TextEmbedding,
} from './types.ts';

/** What an engine answers: texts and embeddings, each as a request of its own. */
export class Answers {
  constructor(
    private readonly session: LiveSession,
    private readonly requests: Requests,
    private readonly texts: Texts,
    private readonly grammars: Grammars,
  ) {}

  chat(
    messages: readonly ChatTurn[],
    { tools, ...options }: GenerateOptions & ChatTools,
  ): AsyncGenerator<GenerateEvent, void> {
    const { texts } = this;
    return this.#answer((shifts) => texts.chat(messages, tools, shifts), options, texts.chatTokenizer);
  }

  complete(prompt: string, options: GenerateOptions): AsyncGenerator<GenerateEvent, void> {
    const { texts } = this;
    return this.#answer((shifts) => texts.prompt(prompt, shifts), options, texts.tokenizer);
  }

  async *embed(
    inputs: readonly (string | readonly number[])[],
    { adapters = [], signal }: EmbedOptions,
  ): AsyncGenerator<TextEmbedding, void> {
    this.session.throwIfDisposed();
    const texts = inputs.map((input, i) => this.texts.input(input, `input[${i}]`));
    const request = this.requests.open(adapters);
    try {
      const pages = pagesFor(
        largest(
          texts.map(({ length }) => length),
          0,
        ),
      );
      const { session, adaptation, slot } = await request.enter({ pages, ranks: 'all', signal });
      for (const tokens of texts) {
        yield { vector: await embedText(session, tokens, adaptation, slot, signal), tokens: tokens.length };
      }
    } catch (error) {
      request.failed(error);
    } finally {
      request.leave();
    }
  }

  /** The grammar of an answer, unless its request is aborted meanwhile. */
  async #begin(format: ResponseFormat, signal: AbortSignal | undefined): Promise<TokenGrammar> {
    const beginning = this.grammars.begin(format);
    try {
      return await unlessAborted(beginning, signal);
    } catch (error) {
      beginning.then((grammar) => grammar.dispose()).catch(() => undefined);
      throw error;
    }
  }

  async *scoreLabels(
    messages: readonly ChatTurn[],
    reads: readonly LabelRead[],
    { signal }: { signal?: AbortSignal },
  ): AsyncGenerator<LabelScores, void> {
    const request = this.requests.open(reads.flatMap(({ adapters = [] }) => adapters));
    try {
      const reader = new LabelReader(this.texts, messages, reads);
      const pages = pagesFor(reader.mostTokens);
      const { session, slot } = await request.enter({ pages, ranks: 'all', signal });
      this.session.beginText();
      yield* reader.scores(session, { slot, adapt: (uses) => request.adapt(uses), signal });
    } catch (error) {
      request.failed(error);
    } finally {
      request.leave();
    }
  }

  /** `tokenizer`: makes the answer's text of its tokens. */
  async *#answer(
    encode: (shifts: boolean) => PromptTokens,
    options: GenerateOptions,
    tokenizer: Tokenizer,
  ): AsyncGenerator<GenerateEvent, void> {
    const { adapters = [], responseFormat, maxTokens, isFurther, signal } = options;
    const { contextLength } = this.texts;
    const request = this.requests.open(adapters);
    let grammar: TokenGrammar | undefined;
    try {
      const shifts = mayShift(contextLength, policyOf(options));
      const prompt = encode(shifts);
      this.texts.check(prompt, shifts, options);
      grammar = responseFormat && (await this.#begin(responseFormat, signal));
      const limit = answerLimit(contextLength, prompt.tokens.length, shifts, maxTokens);
      const most = Math.min(prompt.tokens.length + limit - 1, contextLength); // the last token is not computed
      const { session, ...place } = await request.enter({ pages: pagesFor(most), ranks: options, isFurther, signal });
      this.session.beginText();
      yield* generate(session, tokenizer, prompt, options, { ...place, grammar });
    } catch (error) {
      request.failed(error);
    } finally {
      grammar?.dispose();
      request.leave();
    }
  }
}
