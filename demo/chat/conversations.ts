import type { Form } from '../adapters/adapters.ts';
import type { Runs } from './comparison-runs.ts';
import type { Measured } from './request.ts';
import type { PageStorage } from '../basics/storage.ts';

/** A prompt and its answer. */
export interface Exchange {
  prompt: string;
  form: Form;
  answer: string;
  /** `writing` in storage: the page ended before the answer. */
  state: 'writing' | 'done' | 'stopped' | 'failed';
  /** A note on why the answer ended early; in older data also its measurements. */
  note: string;
  /** The answer's measurements in a line. */
  details?: string;
  /** Comparison: measurements of this answer, the ordinary answer to the same prompt, and all timed runs. */
  comparison?: { chunkwise?: Measured; ordinary?: { answer: string; measured?: Measured }; runs?: Runs };
}

export interface Conversation {
  id: string;
  title: string;
  /** Milliseconds since 1970. */
  changed: number;
  /** Empty: the model's default. */
  systemPrompt: string;
  exchanges: Exchange[];
}

const PREFIX = 'conversation ';
const LONGEST_TITLE = 60;

export function newConversation(systemPrompt: string): Conversation {
  return { id: newId(), title: '', changed: Date.now(), systemPrompt, exchanges: [] };
}

/** Insecure pages have no crypto.randomUUID. */
export function newId(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-');
}

/** Title from the start of the first prompt. */
export function titleOf(prompt: string): string {
  const line = prompt.trim().replace(/\s+/g, ' ');
  if (line.length <= LONGEST_TITLE) return line;
  const cut = line.slice(0, LONGEST_TITLE);
  return `${cut.replace(/\s\S*$/, '')} …`;
}

/** The conversations on this device, latest first. A conversation is stored from its first prompt. */
export class Conversations {
  private readonly known = new Map<string, Conversation>();
  /** Ids deleted by this page; an answer in progress there is not saved. */
  private readonly deleted = new Set<string>();

  constructor(private readonly storage: PageStorage) {}

  /** Reads the stored conversations; other tabs may have written some. */
  async read(): Promise<void> {
    const isNewer = (stored: unknown, last: unknown): boolean =>
      !isConversation(last) || (isConversation(stored) && stored.changed >= last.changed);
    for (const value of await this.storage.all(PREFIX, isNewer)) {
      if (!isConversation(value) || this.deleted.has(value.id)) continue; // damaged data stay in storage
      const known = this.known.get(value.id);
      if (!known || known.changed < value.changed) this.known.set(value.id, value);
    }
  }

  get list(): readonly Conversation[] {
    return [...this.known.values()].sort((a, b) => b.changed - a.changed);
  }

  find(id: string): Conversation | undefined {
    return this.known.get(id);
  }

  async save(conversation: Conversation): Promise<void> {
    if (this.deleted.has(conversation.id)) return;
    this.known.set(conversation.id, conversation);
    await this.storage.set(PREFIX + conversation.id, conversation);
  }

  /** Saves while the page may end. */
  saveAtLast(conversation: Conversation): void {
    if (!this.deleted.has(conversation.id)) this.storage.setAtLast(PREFIX + conversation.id, conversation);
  }

  async delete({ id }: Conversation): Promise<void> {
    this.deleted.add(id);
    this.known.delete(id);
    await this.storage.delete(PREFIX + id);
  }

  /** Undoes a deletion. */
  async restore(conversation: Conversation): Promise<void> {
    this.deleted.delete(conversation.id);
    await this.save(conversation);
  }
}

function isConversation(value: unknown): value is Conversation {
  const { id, title, changed, exchanges } = (value ?? {}) as Partial<Record<keyof Conversation, unknown>>;
  return typeof id === 'string' && typeof title === 'string' && typeof changed === 'number' && Array.isArray(exchanges);
}
