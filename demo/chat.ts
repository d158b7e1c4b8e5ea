import type { ChatCompletionChunk, ChatMessage, Engine } from '../src/api/index.ts';
import { ChunkwiseError } from '../src/api/index.ts';
import { formatCount, formatMs } from './format.ts';
import type { Settings } from './settings.ts';
import type { Transcript } from './transcript.ts';

/** A conversation with the model. */
export class Chat {
  private messages: ChatMessage[] = [];
  private running: AbortController | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly transcript: Transcript,
  ) {}

  /** Asks, and writes the answer as it comes; never throws. What was written before a stop or an error stays. */
  async ask(question: string, settings: Settings): Promise<void> {
    const abort = new AbortController();
    this.running = abort;
    this.messages.push({ role: 'user', content: question });
    this.transcript.addQuestion(question);
    const view = this.transcript.addAnswer();
    const { messages } = this;
    const { systemPrompt, temperature, topP, maxTokens } = settings;
    const system: ChatMessage[] = systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }];
    let answer = '';
    try {
      const chunks = await this.engine.chat.completions.create(
        {
          messages: [...system, ...messages],
          temperature,
          top_p: topP,
          max_tokens: maxTokens,
          stream: true,
          stream_options: { include_usage: true },
        },
        { signal: abort.signal },
      );
      let note = '';
      for await (const chunk of chunks) {
        const choice = chunk.choices[0];
        const text = choice?.delta.content ?? '';
        answer += text;
        view.append(text);
        if (choice?.finish_reason === 'length') note = 'Cut at the longest answer · ';
        if (chunk.usage) note += noteOf(chunk);
      }
      view.end(note);
    } catch (error) {
      if (error instanceof ChunkwiseError && error.code === 'aborted') view.end('Stopped');
      else view.fail(error);
    } finally {
      // An answer that never began would be an empty turn, which some templates refuse.
      if (answer === '') messages.pop();
      else messages.push({ role: 'assistant', content: answer });
      if (this.running === abort) this.running = undefined;
    }
  }

  stop(): void {
    this.running?.abort();
  }

  clear(): void {
    this.stop();
    this.messages = [];
    this.transcript.clear();
  }
}

function noteOf({ usage, chunkwise }: ChatCompletionChunk): string {
  if (!usage || !chunkwise) return '';
  const cached = usage.prompt_tokens_details.cached_tokens;
  return [
    `${formatCount(usage.completion_tokens)} tokens`,
    `${formatMs(chunkwise.msPerToken.median)} each`,
    ...(cached > 0 ? [`${formatCount(cached)} of ${formatCount(usage.prompt_tokens)} prompt tokens reused`] : []),
  ].join(' · ');
}
