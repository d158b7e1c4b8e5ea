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

/** Settings and engine of an answer. */
export interface Means {
  engine: Engine;
  settings: Settings;
  adapter: ChosenAdapter | undefined;
  /** Called when the answer is complete, unless another one was written at the same time. */
  onMeasured: (measured: Measured) => void;
  /** Also answers as ordinary LoRA. */
  compare: boolean;
}

/** Events of an answer in progress. */
export interface AnswerTold {
  events: AnswerEvents;
  /** Rank record, with an adapter. */
  ranks: RankRecord | undefined;
}

/** An answer in progress, possibly of a conversation that is not on the page. */
interface Answering {
  conversation: Conversation;
  exchange: Exchange;
  asked: Asked;
  means: Means;
  abort: AbortController;
  place: AnswerPlace;
  told?: AnswerTold;
  /** No other answer ran at the same time. */
  isAlone: boolean;
  done: Promise<void>;
}

/** Milliseconds between saves of an answer in progress. */
const SAVE_EVERY_MS = 500;
const MOST_SEED = 2 ** 32;
/** Tokens of a warm-up answer: enough to compile its kernels. */
const WARM_UP_TOKENS = 8;

/** The conversation on the page, and answers in progress of all conversations. */
export class Chat {
  private shown: Conversation;
  /** Answers in progress by conversation id. */
  private readonly running = new Map<string, Answering>();
  /** The latest answers; late events belong to them until the next answer begins. */
  private ended: AnswerTold[] = [];

  /** `onShown`: receives the events of the answer on the page when it begins or its conversation opens. */
  constructor(
    private readonly conversations: Conversations,
    private readonly transcript: Transcript,
    private readonly onShown: (told: AnswerTold | undefined) => void,
    systemPrompt: string,
  ) {
    this.shown = newConversation(systemPrompt);
    // After either event the page may never run again.
    const saveAll = (): void =>
      this.running.forEach(({ conversation }) => {
        conversation.changed++;
        this.conversations.saveAtLast(conversation);
      });
    document.addEventListener('visibilitychange', saveAll);
    window.addEventListener('pagehide', saveAll);
  }

  get conversation(): Conversation {
    return this.shown;
  }

  /** Whether an answer is in progress in a conversation; default: the one on the page. */
  isAnswering({ id }: Conversation = this.shown): boolean {
    return this.running.has(id);
  }

  /** Opens a conversation; answers in progress continue. */
  open(conversation: Conversation): void {
    this.running.get(this.shown.id)?.place.hide();
    const running = this.running.get(conversation.id);
    this.shown = running?.conversation ?? conversation;
    const view = this.transcript.show(this.shown, running?.exchange);
    if (view) running?.place.show(view);
    this.showTold();
  }

  /** Replays the measurements of the answer on the page. */
  showTold(): void {
    this.onShown(this.running.get(this.shown.id)?.told);
  }

  /** Stops the answer of a conversation; its text so far stays. */
  stop({ id }: Conversation = this.shown): void {
    this.running.get(id)?.abort.abort();
  }

  stopAll(): void {
    for (const { abort } of this.running.values()) abort.abort();
  }

  /** Resolves when this engine writes no more answers. */
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
   * Makes the exchange at `index` the next to ask. If others follow, a copy of the earlier part continues and the
   * original stays: only the answer asked again is replaced.
   */
  goBackTo(index: number): void {
    const { shown } = this;
    const exchanges = shown.exchanges.slice(0, index);
    if (index < shown.exchanges.length - 1) this.shown = { ...shown, id: newId(), exchanges };
    else shown.exchanges = exchanges;
    this.transcript.cutAt(index);
  }

  /**
   * Asks and writes the answer as it arrives, also while another conversation is on the page. Resolves at its end, and
   * never throws: text before a stop or an error stays.
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
      // The engine may end before it receives the stop.
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

  /** Marks the save as newer for other tabs, but keeps the list's order, which depends on this time. */
  private saveMore(conversation: Conversation): void {
    conversation.changed++;
    void this.conversations.save(conversation);
  }

  /** `settings`: the request's, unless `means` has them. */
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

  /** Writes an answer, whether its conversation is on the page or not. */
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
   * Compares both ways one after the other, so that neither waits for the other's steps, with one seed. Both are warmed
   * up by the same prompt and compute all of it, because one may have more of an earlier turn in its prefix cache. Then
   * both run again in turn until the times are certain enough.
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

  /** Repeats both ways until the times are certain enough. */
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
      // Both answers are complete: a stop only ends the measurement.
      if (!abort.signal.aborted) throw error;
    } finally {
      place.beside?.showRuns(runs, false);
    }
  }
}

/** Turns before a text are not sent, and empty answers neither, because some templates refuse empty turns. */
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
