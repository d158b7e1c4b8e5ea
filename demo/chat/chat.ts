import type { ChatMessage, Engine } from '../../src/api/index.ts';
import type { ChosenAdapter } from '../adapters/adapter-picker.ts';
import { AnswerEvents } from './answer-events.ts';
import { AnswerPlace } from './answer-place.ts';
import { MOST_TOKENS_AGAIN, runInTurns, runOf, type Runs, WAYS } from './comparison-runs.ts';
import {
  type Conversation,
  type Conversations,
  type Exchange,
  newConversation,
  newId,
  titleOf,
} from './conversations.ts';
import { errorWords } from '../basics/error-words.ts';
import { RankRecord } from '../readouts/rank-record.ts';
import type { Asked, Measured, Piece, Way } from './request.ts';
import { answerPieces, detailsOf } from './request.ts';
import type { Settings } from '../settings/settings.ts';
import type { Transcript } from './transcript.ts';

/** What an answer is computed with. */
export interface Means {
  engine: Engine;
  settings: Settings;
  adapter: ChosenAdapter | undefined;
  /** Called when it is whole, unless another one was written at the same time. */
  onMeasured: (measured: Measured) => void;
  /** Answers once more as LoRA is commonly run. */
  compare: boolean;
}

/** What is told of an answer while it is written. */
export interface AnswerTold {
  events: AnswerEvents;
  /** With an adapter. */
  ranks: RankRecord | undefined;
}

/** An answer that is being written, also while another conversation is on the page. */
interface Answering {
  conversation: Conversation;
  exchange: Exchange;
  asked: Asked;
  means: Means;
  abort: AbortController;
  place: AnswerPlace;
  told?: AnswerTold;
  /** Nothing else was written meanwhile. */
  isAlone: boolean;
  done: Promise<void>;
}

/** Milliseconds between two savings of an answer that is being written. */
const SAVE_EVERY_MS = 500;
const MOST_SEED = 2 ** 32;
/** Of the answer that warms up a way of answering: enough for its kernels to be compiled. */
const WARM_UP_TOKENS = 8;

/** The conversation on the page, and the answers that are being written in this one and in others. */
export class Chat {
  private shown: Conversation;
  /** By the conversation's id. */
  private readonly running = new Map<string, Answering>();
  /** Until the next answer begins, what comes late of those before belongs to them. */
  private ended: AnswerTold[] = [];

  /** `onShown`: what is told of the answer on the page; it begins, or its conversation was opened. */
  constructor(
    private readonly conversations: Conversations,
    private readonly transcript: Transcript,
    private readonly onShown: (told: AnswerTold | undefined) => void,
    systemPrompt: string,
  ) {
    this.shown = newConversation(systemPrompt);
    // After either of these the page may never run again.
    const saveAll = (): void => this.running.forEach(({ conversation }) => this.saveMore(conversation, true));
    document.addEventListener('visibilitychange', saveAll);
    window.addEventListener('pagehide', saveAll);
  }

  get conversation(): Conversation {
    return this.shown;
  }

  /** Of the conversation on the page, or of another one. */
  isAnswering({ id }: Conversation = this.shown): boolean {
    return this.running.has(id);
  }

  /** What is being written goes on. */
  open(conversation: Conversation): void {
    this.running.get(this.shown.id)?.place.hide();
    const running = this.running.get(conversation.id);
    this.shown = running?.conversation ?? conversation;
    const view = this.transcript.show(this.shown, running?.exchange);
    if (view) running?.place.show(view);
    this.showTold();
  }

  /** Shows the measurements of the answer on the page from its beginning. */
  showTold(): void {
    this.onShown(this.running.get(this.shown.id)?.told);
  }

  /** What is written in this conversation; what is there of it stays. */
  stop({ id }: Conversation = this.shown): void {
    this.running.get(id)?.abort.abort();
  }

  stopAll(): void {
    for (const { abort } of this.running.values()) abort.abort();
  }

  /** Resolves when this engine writes nothing any more. */
  async idle(engine: Engine): Promise<void> {
    const own = [...this.running.values()].filter(({ means }) => means.engine === engine);
    await Promise.all(own.map(({ done }) => done));
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

  /**
   * Asks, and writes the answer as it comes, also while another conversation is on the page. Resolves when it is written,
   * and never throws: what was written before a stop or an error stays.
   */
  ask(prompt: string, means: Means): Promise<void> {
    const conversation = this.shown;
    const form = means.adapter?.form ?? 'chat';
    const exchange: Exchange = { prompt, form, answer: '', state: 'writing', note: '' };
    const asked = askedOf(conversation, exchange);
    const place = new AnswerPlace(exchange);
    place.show(this.transcript.add(exchange, conversation.exchanges.length));
    conversation.exchanges.push(exchange);
    conversation.title ||= titleOf(prompt);
    const isAlone = this.running.size === 0;
    for (const other of this.running.values()) other.isAlone = false;
    const abort = new AbortController();
    const own: Answering = { conversation, exchange, asked, means, abort, place, isAlone, done: Promise.resolve() };
    this.running.set(conversation.id, own);
    own.done = this.write(own);
    return own.done;
  }

  private async write(own: Answering): Promise<void> {
    const { conversation, exchange, means, abort, place } = own;
    this.saveWhole(conversation);
    const saving = setInterval(() => this.saveMore(conversation), SAVE_EVERY_MS);
    try {
      await (means.compare ? this.compare(own) : this.answer(own));
      exchange.state = 'done';
      place.end(exchange.note, exchange.details);
    } catch (error) {
      // The engine may end before it has heard of the stop.
      const isStop = abort.signal.aborted;
      exchange.state = isStop ? 'stopped' : 'failed';
      exchange.note = isStop ? 'Stopped' : errorWords(error).title;
      if (isStop) place.end(exchange.note);
      else place.fail(error);
    } finally {
      clearInterval(saving);
      this.running.delete(conversation.id);
      if (own.told) this.ended.push(own.told);
      this.saveWhole(conversation);
      if (this.shown === conversation) this.transcript.announce(exchange.answer || exchange.note);
    }
  }

  private saveWhole(conversation: Conversation): void {
    conversation.changed = Date.now();
    void this.conversations.save(conversation);
  }

  /** Newer than what was saved before, for other tabs; but the list, which goes by this, stays in its order. */
  private saveMore(conversation: Conversation, isLast = false): void {
    conversation.changed++;
    void this.conversations.save(conversation, isLast);
  }

  /** `settings`: those of the request where they are not in its means. */
  private async answer(own: Answering, settings = own.means.settings): Promise<Piece | undefined> {
    const { asked, exchange, place, abort } = own;
    const { engine, adapter, compare: isCompared } = own.means;
    const { events, ranks } = this.beginTold(own);
    if (ranks) place.attach(ranks);
    let last: Piece | undefined;
    const recipe = { settings, adapter, way: 'chunkwise', isCompared } as const;
    for await (const piece of answerPieces(engine, asked, recipe, abort.signal)) {
      events.identify(piece.id);
      exchange.answer += piece.text;
      place.append(piece.text);
      ranks?.addText(piece.text);
      if (piece.isCut) exchange.note = 'Cut at the longest answer';
      if (piece.measured) {
        exchange.details = detailsOf(piece.measured);
        if (own.isAlone) own.means.onMeasured(piece.measured);
        ranks?.end(piece.measured.meanRank);
      }
      last = piece;
    }
    return last;
  }

  /** Whether its conversation is on the page or not. */
  private beginTold(own: Answering): AnswerTold {
    for (const { events } of this.ended) events.close();
    this.ended = [];
    const { engine, adapter } = own.means;
    const events = new AnswerEvents(engine);
    const told = { events, ranks: adapter && new RankRecord(events.only) };
    own.told = told;
    if (this.shown === own.conversation) this.onShown(told);
    return told;
  }

  /**
   * One after the other, so that neither waits for the other's steps; with one seed. Each is warmed up by the same prompt, and
   * each computes all of it, since of an earlier turn the one way may have more in the cache than the other. Then both are
   * measured again in turns, until there is enough to tell how far single answers can be trusted.
   */
  private async compare(own: Answering): Promise<void> {
    const { asked, means, exchange, place, abort } = own;
    const { engine, adapter } = means;
    const { signal } = abort;
    const settings = { ...means.settings, seed: means.settings.seed ?? Math.floor(Math.random() * MOST_SEED) };
    const comparison: NonNullable<Exchange['comparison']> = {};
    exchange.comparison = comparison;
    place.compare();
    const warmUp = {
      settings: { ...settings, maxTokens: Math.min(WARM_UP_TOKENS, settings.maxTokens) },
      adapter,
      isCompared: true,
    };
    const warmUpAll = async (): Promise<void> => {
      for (const way of WAYS)
        for await (const piece of answerPieces(engine, asked, { ...warmUp, way }, signal)) void piece;
    };
    await place.whileWarmingUp(warmUpAll());
    const { measured } = (await this.answer(own, settings)) ?? {};
    if (measured) {
      comparison.chunkwise = measured;
      place.beside?.show('chunkwise', measured);
    }
    const ordinary: { answer: string; measured?: typeof measured } = { answer: '' };
    comparison.ordinary = ordinary;
    const way = 'ordinary';
    for await (const piece of answerPieces(engine, asked, { settings, adapter, way, isCompared: true }, signal)) {
      ordinary.answer += piece.text;
      place.beside?.ordinary.append(piece.text);
      if (!piece.measured) continue;
      ordinary.measured = piece.measured;
      place.beside?.ordinary.flush();
      place.beside?.show(way, piece.measured);
    }
    if (measured && ordinary.measured) {
      const runs: Runs = { chunkwise: [runOf(measured)], ordinary: [runOf(ordinary.measured)] };
      comparison.runs = runs;
      await this.measureInTurns(own, settings, runs);
    }
    if (!own.isAlone)
      exchange.note = ['Another answer was written at the same time', exchange.note]
        .filter((part) => part !== '')
        .join(' · ');
  }

  /** Both ways again, as they were asked, until there is enough to tell how far single answers can be trusted. */
  private async measureInTurns(
    { asked, means, place, abort }: Answering,
    settings: Settings,
    runs: Runs,
  ): Promise<void> {
    const { engine, adapter } = means;
    const maxTokens = Math.min(MOST_TOKENS_AGAIN, settings.maxTokens);
    const again = { settings: { ...settings, maxTokens }, adapter, isCompared: true };
    const run = async (way: Way): Promise<Measured | undefined> => {
      let last: Piece | undefined;
      for await (const piece of answerPieces(engine, asked, { ...again, way }, abort.signal)) last = piece;
      return last?.measured;
    };
    try {
      place.beside?.showRuns(runs, true);
      await runInTurns(runs, run, () => place.beside?.showRuns(runs, true));
    } catch (error) {
      // Both answers are there: who stops now has seen enough.
      if (!abort.signal.aborted) throw error;
    } finally {
      place.beside?.showRuns(runs, false);
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
