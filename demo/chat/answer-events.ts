import type { Engine, EngineEvents } from '../../src/api/index.ts';

/** What an engine tells of single answers. */
const OF_ANSWERS = ['token', 'plan', 'kv'] as const;
type OfAnswers = (typeof OF_ANSWERS)[number];
type Told = { [E in OfAnswers]: { type: E; event: EngineEvents[E] } }[OfAnswers];
type Listener = (told: Told) => void;

const isOfAnswers = (type: keyof EngineEvents): type is OfAnswers => (OF_ANSWERS as readonly string[]).includes(type);

/** What `engine` is for somebody who is told of answers by `follow`, and of all else by the engine. */
function withAnswers(engine: Engine, follow: (listener: Listener) => () => void): Engine {
  const on = <E extends keyof EngineEvents>(type: E, tell: (event: EngineEvents[E]) => void): (() => void) =>
    isOfAnswers(type)
      ? follow((told) => {
          if (told.type === type) tell(told.event as EngineEvents[E]);
        })
      : engine.on(type, tell);
  return { ...engine, on };
}

/** Of all answers whose id is known. */
const known = new Set<string>();
/** Answers that wait for theirs. */
let waiting = 0;

/** The events of one answer, where its engine writes several at once. */
export class AnswerEvents {
  private id: string | undefined;
  private isWaiting = true;
  /** Of all answers, before the id of this one is known. */
  private early: Told[] = [];
  private readonly told: Told[] = [];
  private readonly listeners = new Set<Listener>();
  private readonly removers: (() => void)[];

  constructor(private readonly engine: Engine) {
    waiting++;
    this.removers = [
      engine.on('token', (event) => this.hear({ type: 'token', event })),
      engine.on('plan', (event) => this.hear({ type: 'plan', event })),
      engine.on('kv', (event) => this.hear({ type: 'kv', event })),
    ];
  }

  /** The engine, which tells of this answer alone. */
  get only(): Engine {
    return withAnswers(this.engine, (listener) => this.follow(listener));
  }

  /** The response's: from its first chunk. */
  identify(id: string): void {
    if (this.id !== undefined) return;
    this.id = id;
    known.add(id);
    this.endWaiting();
    const { early } = this;
    this.early = [];
    for (const told of early) this.hear(told);
  }

  /** Tells all that has been told of it so far, too. */
  follow(listener: Listener): () => void {
    for (const told of this.told) listener(told);
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Nothing more comes. */
  close(): void {
    this.endWaiting();
    for (const remove of this.removers) remove();
  }

  private hear(told: Told): void {
    if (this.id === undefined) {
      this.early.push(told);
      // The id is known when the prompt is computed, and the map of the cache is to follow before.
      if (told.type === 'kv' && waiting === 1 && !known.has(told.event.id)) this.tell(told);
      return;
    }
    if (told.event.id !== this.id) return;
    this.told.push(told);
    this.tell(told);
  }

  private tell(told: Told): void {
    for (const listener of this.listeners) listener(told);
  }

  private endWaiting(): void {
    if (this.isWaiting) waiting--;
    this.isWaiting = false;
  }
}

/** The events of whichever answer is on the page, for what shows one answer's measurements at a time. */
export class ShownEvents {
  private readonly listeners = new Set<Listener>();
  private engine: Engine | undefined;
  private showings = 0;
  private leave: () => void = () => undefined;

  /** The engine from now on, which tells of the shown answer, and of itself as long as it is the page's. */
  of(engine: Engine): Engine {
    this.engine = engine;
    const own = withAnswers(engine, (listener) => {
      this.listeners.add(listener);
      return () => this.listeners.delete(listener);
    });
    const on: Engine['on'] = (type, tell) =>
      own.on(type, (event) => {
        if (this.engine === engine) tell(event);
      });
    return { ...own, on };
  }

  /**
   * Another answer is on the page; what it has told before is told again. Each time under a new id: what comes of an id that
   * was shown before would be taken for late.
   */
  show(answer: AnswerEvents | undefined): void {
    this.leave();
    const id = `shown ${++this.showings}`;
    this.leave =
      answer?.follow((told) => {
        const renamed = { ...told, event: { ...told.event, id } } as Told;
        for (const listener of this.listeners) listener(renamed);
      }) ?? (() => undefined);
  }
}
