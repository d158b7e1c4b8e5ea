import type { Form } from '../adapters/adapters.ts';
import type { Runs } from './comparison-runs.ts';
import type { Measured } from './request.ts';
import type { PageStorage } from '../basics/storage.ts';

/** A prompt and its answer. */
export interface Exchange {
  prompt: string;
  form: Form;
  answer: string;
  /** `writing` in the storage: the page ended before the answer did. */
  state: 'writing' | 'done' | 'stopped' | 'failed';
  /** A line about the answer: why it ended before its end. In older ones what was measured, too. */
  note: string;
  /** A line of what was measured. */
  details?: string;
  /**
   * Where it was compared: what was measured of it, the same prompt answered the ordinary way, and what was measured of
   * both in turns.
   */
  comparison?: { chunkwise?: Measured; ordinary?: { answer: string; measured?: Measured }; runs?: Runs };
}

export interface Conversation {
  id: string;
  title: string;
  /** Milliseconds since 1970. */
  changed: number;
  /** Empty: the model's own. */
  systemPrompt: string;
  exchanges: Exchange[];
}

const PREFIX = 'conversation ';
const LONGEST_TITLE = 60;

export function newConversation(systemPrompt: string): Conversation {
  return { id: newId(), title: '', changed: Date.now(), systemPrompt, exchanges: [] };
}

/** On an insecure page there is no crypto.randomUUID. */
export function newId(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-');
}

/** The beginning of the first prompt. */
export function titleOf(prompt: string): string {
  const line = prompt.trim().replace(/\s+/g, ' ');
  if (line.length <= LONGEST_TITLE) return line;
  const cut = line.slice(0, LONGEST_TITLE);
  return `${cut.replace(/\s\S*$/, '')} …`;
}

/** The conversations on this device, latest first. One is stored from its first prompt on. */
export class Conversations {
  private readonly known = new Map<string, Conversation>();
  /** Deleted by this page: an answer that was being written then is not saved any more. */
  private readonly deleted = new Set<string>();

  constructor(private readonly storage: PageStorage) {}

  /** Reads what is stored; another tab may have written since. */
  async read(): Promise<void> {
    for (const value of await this.storage.all(PREFIX)) {
      if (!isConversation(value) || this.deleted.has(value.id)) continue; // damaged: left where it is
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

  /** `isLast`: the page may end now. */
  async save(conversation: Conversation, isLast = false): Promise<void> {
    if (this.deleted.has(conversation.id)) return;
    this.known.set(conversation.id, conversation);
    const key = PREFIX + conversation.id;
    await (isLast ? this.storage.setAtLast(key, conversation) : this.storage.set(key, conversation));
  }

  async delete({ id }: Conversation): Promise<void> {
    this.deleted.add(id);
    this.known.delete(id);
    await this.storage.delete(PREFIX + id);
  }

  /** Takes a deletion back. */
  async restore(conversation: Conversation): Promise<void> {
    this.deleted.delete(conversation.id);
    await this.save(conversation);
  }
}

function isConversation(value: unknown): value is Conversation {
  const { id, title, changed, exchanges } = (value ?? {}) as Partial<Record<keyof Conversation, unknown>>;
  return typeof id === 'string' && typeof title === 'string' && typeof changed === 'number' && Array.isArray(exchanges);
}
