import type { ChatMessage, Engine } from '../src/api/index.ts';
import { ChunkwiseError } from '../src/api/index.ts';
import type { ChosenAdapter } from './adapter-picker.ts';
import { formatBytes, formatCount, formatMs } from './format.ts';
import type { RankRecord } from './rank-record.ts';
import { RankStrip } from './rank-strip.ts';
import type { Asked, Piece } from './request.ts';
import { answerPieces } from './request.ts';
import type { Settings } from './settings.ts';
import type { Transcript } from './transcript.ts';

/** An adapter to answer with, and what keeps its ranks. */
export interface Adapted {
  adapter: ChosenAdapter;
  ranks: RankRecord;
}

/** A conversation with the model. */
export class Chat {
  private messages: ChatMessage[] = [];
  private running: AbortController | undefined;

  constructor(
    private readonly engine: Engine,
    private readonly transcript: Transcript,
  ) {}

  /**
   * Asks, and writes the answer as it comes; never throws. What was written before a stop or an error stays. A text
   * that is gone on with stands for itself: it is no turn of the conversation.
   */
  async ask(question: string, settings: Settings, adapted?: Adapted): Promise<void> {
    const abort = new AbortController();
    this.running = abort;
    const isTurn = adapted?.adapter.form !== 'text';
    // A chat that is cleared meanwhile has a list of its own.
    const { messages } = this;
    if (isTurn) messages.push({ role: 'user', content: question });
    this.transcript.addQuestion(question);
    const view = this.transcript.addAnswer();
    if (adapted) view.attach(new RankStrip(adapted.ranks).element);
    const asked = isTurn ? withSystemPrompt(messages, settings) : { prompt: question };
    let answer = '';
    try {
      let note = '';
      for await (const piece of answerPieces(this.engine, asked, settings, adapted?.adapter, abort.signal)) {
        answer += piece.text;
        view.append(piece.text);
        adapted?.ranks.addText(piece.text);
        if (piece.isCut) note = 'Cut at the longest answer · ';
        if (!piece.end) continue;
        note += noteOf(piece.end);
        adapted?.ranks.end(piece.end.report.meanRank);
      }
      view.end(note);
    } catch (error) {
      if (error instanceof ChunkwiseError && error.code === 'aborted') view.end('Stopped');
      else view.fail(error);
    } finally {
      // An answer that never began would be an empty turn, which some templates refuse.
      if (isTurn && answer === '') messages.pop();
      else if (isTurn) messages.push({ role: 'assistant', content: answer });
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

function withSystemPrompt(messages: readonly ChatMessage[], { systemPrompt }: Settings): Asked {
  const system: ChatMessage[] = systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }];
  return { messages: [...system, ...messages] };
}

function noteOf({ usage, report }: NonNullable<Piece['end']>): string {
  const cached = usage.prompt_tokens_details.cached_tokens;
  return [
    `${formatCount(usage.completion_tokens)} tokens`,
    `${formatMs(report.msPerToken.median)} each`,
    `KV cache ${formatBytes(Object.values(report.kv.bytes).reduce((sum, bytes) => sum + bytes))}`,
    ...(cached > 0 ? [`${formatCount(cached)} of ${formatCount(usage.prompt_tokens)} prompt tokens reused`] : []),
  ].join(' · ');
}
