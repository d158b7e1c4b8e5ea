import type { ToolFormat } from '../../tokenizer/chat-traits.ts';
import { beginningAtEnd } from '../../tokenizer/tokenizer.ts';
import { isRecord } from '../../util/values.ts';
import { gemmaCall, NoCalls, pythonicCalls, type WrittenCall } from './call-literals.ts';
import { IncomingText, Unfinished, type Waiting, jsonEnd, jsonMembers } from './incoming-text.ts';

export interface ToolCall {
  id: string;
  type: 'function';
  /** `arguments`: text of a JSON object. */
  function: { name: string; arguments: string };
}

export type CallOrText = WrittenCall | string;

/** Kind of text before the text being read. */
type Before = 'nothing' | 'calls' | 'text';

/** Reads calls of known tools; returns undefined for other text. */
type ReadCalls = (text: IncomingText, known: ReadonlySet<string>) => Waiting<WrittenCall[] | undefined>;

/** A notation for calls: the text that opens them, and the reader of what follows. `isBare`: nothing opens them, and after other text they are text. */
interface Format {
  open: string;
  read: ReadCalls;
  isBare?: true;
}

/** Calls being read. */
interface Reading {
  text: IncomingText;
  calls: Waiting<WrittenCall[] | undefined>;
}

/** Number of openings to try inside text that turned out to be no call; each try may read to the answer's end. */
const MOST_TRIES = 8;

/**
 * Finds tool calls in an answer that arrives in pieces of any length. Returns a call once it is complete. Everything else is
 * text, unchanged except that white space around calls is dropped. Reads each character once, or up to `MOST_TRIES` times
 * if text only looks like calls.
 */
export class ToolCallReader {
  readonly #format: Format;
  /** Text held back: a possible beginning of `open`, or the whole call being read. */
  #held = '';
  #reading: Reading | undefined;
  /** Length of held text that is known to be no call, and openings tried in it. */
  #vain = 0;
  #tries = 0;
  /** White space that is dropped if a call follows. */
  #space = '';
  #before: Before = 'nothing';
  #afterCall = false;

  constructor(
    format: ToolFormat,
    /** Names of the tools shown to the model. */
    private readonly known: ReadonlySet<string>,
  ) {
    this.#format = FORMATS[format];
  }

  push(piece: string): CallOrText[] {
    return this.#parts(piece, false);
  }

  /** Returns what was held back, at the end of the answer. */
  flush(): CallOrText[] {
    const parts = this.#parts('', true);
    return this.#space !== '' && !this.#afterCall ? [...parts, this.#space] : parts;
  }

  #parts(piece: string, isEnd: boolean): CallOrText[] {
    const parts: CallOrText[] = [];
    this.#held += piece;
    this.#reading?.text.add(piece);
    for (;;) {
      this.#reading ??= this.#begin(parts, isEnd);
      if (!this.#reading) break;
      const { text, calls } = this.#reading;
      text.isEnded = isEnd;
      const read = calls.next();
      if (!read.done) break;
      this.#reading = undefined;
      const length = this.#held.length - text.rest.length;
      if (read.value) this.#giveCalls(parts, read.value, length);
      else {
        this.#vain = Math.max(this.#vain, length);
        this.#giveText(parts, this.#format.isBare ? this.#held.length : this.#format.open.length);
      }
    }
    return parts;
  }

  /** Gives the text before the next calls, and begins to read them. */
  #begin(parts: CallOrText[], isEnd: boolean): Reading | undefined {
    const { open, read, isBare } = this.#format;
    for (;;) {
      const at = isBare && this.#before === 'text' ? -1 : this.#held.indexOf(open);
      const plain = at < 0 ? this.#held.length - (isEnd || isBare ? 0 : beginningAtEnd(this.#held, open)) : at;
      this.#giveText(parts, plain);
      if (at < 0 || this.#held === '') return undefined;
      this.#tries = this.#vain === 0 ? 0 : this.#tries + 1;
      if (this.#tries <= MOST_TRIES) break;
      this.#giveText(parts, open.length);
    }
    const text = new IncomingText(this.#held.slice(open.length));
    const readNext = isBare && this.#before === 'calls' ? afterSemicolon : read;
    return { text, calls: orNone(readNext(text, this.known)) };
  }

  #giveCalls(parts: CallOrText[], calls: readonly WrittenCall[], length: number): void {
    for (const call of calls) parts.push(call);
    this.#take(length);
    this.#space = '';
    this.#afterCall = true;
    if (this.#before === 'nothing') this.#before = 'calls';
  }

  #giveText(parts: CallOrText[], length: number): void {
    const text = this.#take(length);
    const kept = text.trimEnd();
    if (kept === '') {
      this.#space += text;
      return;
    }
    parts.push(this.#space + kept);
    this.#space = text.slice(kept.length);
    this.#before = 'text';
    this.#afterCall = false;
  }

  #take(length: number): string {
    const text = this.#held.slice(0, length);
    this.#held = this.#held.slice(length);
    this.#vain = Math.max(0, this.#vain - length);
    return text;
  }
}

/** Returns undefined for other text, or if the text ends within a call. */
function* orNone(calls: Waiting<WrittenCall[] | undefined>): Waiting<WrittenCall[] | undefined> {
  try {
    return yield* calls;
  } catch (thrown) {
    if (thrown instanceof Unfinished || thrown instanceof NoCalls) return undefined;
    throw thrown;
  }
}

const FORMATS: Record<ToolFormat, Format> = {
  hermes: { open: '<tool_call>', read: closedBy('</tool_call>', jsonCalls('{')) },
  mistral: { open: '[TOOL_CALLS]', read: jsonCalls('[') },
  lfm2: { open: '<|tool_call_start|>', read: closedBy('<|tool_call_end|>', pythonicOrJson) },
  gemma4: { open: '<|tool_call>', read: closedBy('<tool_call|>', gemmaCalls) },
  llama: { open: '', read: bareCalls, isBare: true },
};

/** Calls before a closing tag, which models may leave out. */
function closedBy(close: string, read: ReadCalls): ReadCalls {
  return function* (text, known) {
    const calls = yield* read(text, known);
    if (!calls) return undefined;
    return (yield* text.isOver()) || (yield* text.begins(close)) ? calls : undefined;
  };
}

/** JSON that begins with `bracket`. */
function jsonCalls(bracket: '{' | '['): ReadCalls {
  return function* (text, known) {
    return (yield* text.next()) === bracket ? parseCalls(yield* text.json(), 'arguments', known) : undefined;
  };
}

/** Calls in Python's notation, or in JSON, which LFM2 writes if its system prompt asks for it. */
function* pythonicOrJson(text: IncomingText, known: ReadonlySet<string>): Waiting<WrittenCall[] | undefined> {
  const first = yield* text.next();
  if (first === '{') return parseCalls(yield* text.json(), 'arguments', known);
  if (first !== '[') return undefined;
  text.skip();
  if ((yield* text.next()) === '{') return parseCalls(yield* text.json('['), 'arguments', known);
  return ofKnown(yield* pythonicCalls(text), known);
}

function* gemmaCalls(text: IncomingText, known: ReadonlySet<string>): Waiting<WrittenCall[] | undefined> {
  yield* text.next();
  return ofKnown([yield* gemmaCall(text)], known);
}

const ofKnown = (calls: WrittenCall[], known: ReadonlySet<string>): WrittenCall[] | undefined =>
  calls.length > 0 && calls.every(({ name }) => known.has(name)) ? calls : undefined;

const PYTHON_TAG = '<|python_tag|>';

/** An answer that is JSON only. */
function* bareCalls(text: IncomingText, known: ReadonlySet<string>): Waiting<WrittenCall[] | undefined> {
  if ((yield* text.next()) === PYTHON_TAG[0] && !(yield* text.begins(PYTHON_TAG))) return undefined;
  return (yield* text.next()) === '{' ? parseCalls(yield* text.json(), 'parameters', known) : undefined;
}

/** A further call, after a semicolon. */
function* afterSemicolon(text: IncomingText, known: ReadonlySet<string>): Waiting<WrittenCall[] | undefined> {
  if ((yield* text.char()) === ';') text.skip();
  return yield* bareCalls(text, known);
}

/** Parses a call or an array of calls of known tools; returns undefined for anything else. */
function parseCalls(json: string, argumentsName: string, known: ReadonlySet<string>): WrittenCall[] | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return undefined;
  }
  const values: unknown[] = Array.isArray(parsed) ? parsed : [parsed];
  const texts = Array.isArray(parsed) ? jsonItems(json) : [json];
  const calls = values.map((value, i) => {
    if (!isRecord(value) || typeof value['name'] !== 'string' || !known.has(value['name'])) return undefined;
    // Arguments keep the model's own notation, so numbers keep their digits.
    return isRecord(value[argumentsName])
      ? { name: value['name'], arguments: jsonMembers(texts[i] ?? '').get(argumentsName) ?? '' }
      : undefined;
  });
  const whole = calls.filter((call) => call !== undefined);
  return whole.length > 0 && whole.length === values.length ? whole : undefined;
}

/** Returns the source text of each object in `array`, which must be JSON. */
function jsonItems(array: string): string[] {
  const items: string[] = [];
  for (let at = array.indexOf('{'); at >= 0;) {
    const end = jsonEnd(array, at) ?? array.length;
    items.push(array.slice(at, end));
    at = array.indexOf('{', end);
  }
  return items;
}
