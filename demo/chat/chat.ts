import type { ChatMessage, Engine } from '../../src/api/index.ts';
import type { ChosenAdapter } from '../adapters/adapter-picker.ts';
import type { AnswerView } from './answer-view.ts';
import {
  type Conversation,
  type Conversations,
  type Exchange,
  newConversation,
  newId,
  titleOf,
} from './conversations.ts';
import { errorWords } from '../basics/error-words.ts';
import type { RankRecord } from '../readouts/rank-record.ts';
import { RankStrip } from '../readouts/rank-strip.ts';
import type { Asked, Measured, Piece, Way } from './request.ts';
import { answerPieces, noteOf } from './request.ts';
import type { Settings } from '../settings/settings.ts';
import type { Transcript } from './transcript.ts';

/** What an answer is computed with. */
export interface Means {
  engine: Engine;
  settings: Settings;
  adapter: ChosenAdapter | undefined;
  /** The next answer is the one that is shown: gives what keeps its ranks, with an adapter. */
  begin: () => RankRecord | undefined;
  /** Called when it is whole. */
  onMeasured: (measured: Measured) => void;
  /** Answers once more as LoRA is commonly run. */
  compare: boolean;
}

interface Answering {
  asked: Asked;
  means: Means;
  exchange: Exchange;
  view: AnswerView;
  signal: AbortSignal;
}

/** Milliseconds between two savings of an answer that is being written. */
const SAVE_EVERY_MS = 500;
const MOST_SEED = 2 ** 32;
/** Of the answer that warms up a way of answering: enough for its kernels to be compiled. */
const WARM_UP_TOKENS = 8;
const WAYS: readonly Way[] = ['chunkwise', 'ordinary'];

/** The conversation on the page. */
export class Chat {
  private shown: Conversation;
  private running: AbortController | undefined;
  /** Saves what is being written. */
  private save: () => void = () => undefined;

  constructor(
    private readonly conversations: Conversations,
    private readonly transcript: Transcript,
    systemPrompt: string,
  ) {
    this.shown = newConversation(systemPrompt);
    // After either of these the page may never run again.
    document.addEventListener('visibilitychange', () => this.save());
    window.addEventListener('pagehide', () => this.save());
  }

  get conversation(): Conversation {
    return this.shown;
  }

  /** Leaves the running answer where it is. */
  open(conversation: Conversation): void {
    this.stop();
    this.shown = conversation;
    this.transcript.show(conversation);
  }

  stop(): void {
    this.running?.abort();
  }

  async setSystemPrompt(systemPrompt: string): Promise<void> {
    const { shown } = this;
    shown.systemPrompt = systemPrompt;
    if (shown.exchanges.length > 0) await this.conversations.save(shown);
  }

  /**
   * Makes the exchange at `index` the next to be asked. Where others follow, the conversation stays as it is and a copy
   * of what is before goes on: nothing that was written is lost but the answer that is asked for anew.
   */
  goBackTo(index: number): void {
    const { shown } = this;
    const exchanges = shown.exchanges.slice(0, index);
    if (index < shown.exchanges.length - 1) this.shown = { ...shown, id: newId(), exchanges };
    else shown.exchanges = exchanges;
    this.transcript.cutAt(index);
  }

  /** Asks, and writes the answer as it comes; never throws. What was written before a stop or an error stays. */
  async ask(prompt: string, means: Means): Promise<void> {
    const abort = new AbortController();
    const conversation = this.shown;
    const form = means.adapter?.form ?? 'chat';
    const exchange: Exchange = { prompt, form, answer: '', state: 'writing', note: '' };
    const asked = askedOf(conversation, exchange);
    const view = this.transcript.add(exchange, conversation.exchanges.length);
    conversation.exchanges.push(exchange);
    conversation.title ||= titleOf(prompt);
    this.running = abort;
    const saving = this.saveWhileWriting(conversation);
    try {
      const own = { asked, means, exchange, view, signal: abort.signal };
      await (means.compare ? this.compare(own) : this.answer(own));
      exchange.state = 'done';
      view.end(exchange.note);
    } catch (error) {
      // The engine may end before it has heard of the stop.
      const isStop = abort.signal.aborted;
      exchange.state = isStop ? 'stopped' : 'failed';
      exchange.note = isStop ? 'Stopped' : errorWords(error).title;
      if (isStop) view.end(exchange.note);
      else view.fail(error);
    } finally {
      clearInterval(saving);
      this.save();
      if (this.running === abort) {
        this.running = undefined;
        this.save = () => undefined;
      }
      if (this.shown === conversation) this.transcript.announce(exchange.answer || exchange.note);
    }
  }

  private saveWhileWriting(conversation: Conversation): ReturnType<typeof setInterval> {
    const save = (): void => {
      conversation.changed = Date.now();
      void this.conversations.save(conversation);
    };
    save();
    this.save = save;
    return setInterval(save, SAVE_EVERY_MS);
  }

  private async answer({ asked, means, exchange, view, signal }: Answering): Promise<Piece | undefined> {
    const { engine, settings, adapter, compare: isCompared } = means;
    const ranks = means.begin();
    if (ranks) view.attach(new RankStrip(ranks).element);
    let last: Piece | undefined;
    const recipe = { settings, adapter, way: 'chunkwise', isCompared } as const;
    for await (const piece of answerPieces(engine, asked, recipe, signal)) {
      exchange.answer += piece.text;
      view.append(piece.text);
      ranks?.addText(piece.text);
      if (piece.isCut) exchange.note = 'Cut at the longest answer · ';
      if (piece.measured) {
        exchange.note += noteOf(piece.measured);
        means.onMeasured(piece.measured);
        ranks?.end(piece.measured.meanRank);
      }
      last = piece;
    }
    return last;
  }

  /**
   * One after the other, so that neither waits for the other's steps; with one seed. Each is warmed up by the same prompt, and
   * each computes all of it, since of an earlier turn the one way may have more in the cache than the other.
   */
  private async compare(own: Answering): Promise<void> {
    const { asked, means, exchange, view, signal } = own;
    const { engine, adapter } = means;
    const settings = { ...means.settings, seed: means.settings.seed ?? Math.floor(Math.random() * MOST_SEED) };
    const beside = view.compare();
    exchange.comparison = {};
    const warmUp = {
      settings: { ...settings, maxTokens: Math.min(WARM_UP_TOKENS, settings.maxTokens) },
      adapter,
      isCompared: true,
    };
    await beside.whileWarmingUp(async () => {
      for (const way of WAYS)
        for await (const piece of answerPieces(engine, asked, { ...warmUp, way }, signal)) void piece;
    });
    const { measured } = (await this.answer({ ...own, means: { ...means, settings } })) ?? {};
    if (measured) {
      exchange.comparison.chunkwise = measured;
      beside.show('chunkwise', measured);
    }
    const ordinary: { answer: string; measured?: typeof measured } = { answer: '' };
    exchange.comparison.ordinary = ordinary;
    const way = 'ordinary';
    for await (const piece of answerPieces(engine, asked, { settings, adapter, way, isCompared: true }, signal)) {
      ordinary.answer += piece.text;
      beside.ordinary.append(piece.text);
      if (!piece.measured) continue;
      ordinary.measured = piece.measured;
      beside.ordinary.flush();
      beside.show(way, piece.measured);
    }
  }
}

/** A text stands for itself, and an empty answer would be an empty turn, which some templates refuse. */
function askedOf({ systemPrompt, exchanges }: Conversation, { prompt, form }: Exchange): Asked {
  if (form === 'text') return { prompt };
  const turns = exchanges.filter((past) => past.form === 'chat' && past.answer !== '');
  const messages: ChatMessage[] = turns.flatMap((past) => [
    { role: 'user', content: past.prompt },
    { role: 'assistant', content: past.answer },
  ]);
  const system: ChatMessage[] = systemPrompt === '' ? [] : [{ role: 'system', content: systemPrompt }];
  return { messages: [...system, ...messages, { role: 'user', content: prompt }] };
}
