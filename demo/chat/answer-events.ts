import type { Engine, EngineEvents } from '../../src/api/index.ts';

/** Engine events about single answers. */
const OF_ANSWERS = ['token', 'plan', 'kv'] as const;
type OfAnswers = (typeof OF_ANSWERS)[number];
type Told = { [E in OfAnswers]: { type: E; event: EngineEvents[E] } }[OfAnswers];
type Listener = (told: Told) => void;

const isOfAnswers = (type: keyof EngineEvents): type is OfAnswers => (OF_ANSWERS as readonly string[]).includes(type);

/** `engine` with `follow` as the source of answer events. */
function withAnswers(engine: Engine, follow: (listener: Listener) => () => void): Engine {
  const on = <E extends keyof EngineEvents>(type: E, tell: (event: EngineEvents[E]) => void): (() => void) =>
    isOfAnswers(type)
      ? follow((told) => {
          if (told.type === type) tell(told.event as EngineEvents[E]);
        })
      : engine.on(type, tell);
  return { ...engine, on };
}

/** Subscribers by answer id. */
const known = new Set<string>();
/** Answers without an id yet. */
let waiting = 0;

/** The events of one answer, if the engine writes several at once. */
export class AnswerEvents {
  private id: string | undefined;
  private isWaiting = true;
  /** Events of all answers until this one's id is known. */
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

  /** The engine with events of this answer only. */
  get only(): Engine {
    return withAnswers(this.engine, (listener) => this.follow(listener));
  }

  /** The response's id, from its first chunk. */
  identify(id: string): void {
    if (this.id !== undefined) return;
    this.id = id;
    known.add(id);
    this.endWaiting();
    const { early } = this;
    this.early = [];
    for (const told of early) this.hear(told);
  }

  /** Subscribes, and replays earlier events. */
  follow(listener: Listener): () => void {
    for (const told of this.told) listener(told);
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Ends the events. */
  close(): void {
    this.endWaiting();
    for (const remove of this.removers) remove();
  }

  private hear(told: Told): void {
    if (this.id === undefined) {
      this.early.push(told);
      // The id arrives after prefill, but the cache map should follow earlier.
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

/** The events of the answer on the page, for views that show one answer at a time. */
export class ShownEvents {
  private readonly listeners = new Set<Listener>();
  private engine: Engine | undefined;
  private showings = 0;
  private leave: () => void = () => undefined;

  /** The engine to follow, with events of the shown answer, and its own events while it is the page's engine. */
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
   * Shows another answer, whose earlier events are replayed. Each time it gets a new id: events with a known id would
   * count as late.
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
