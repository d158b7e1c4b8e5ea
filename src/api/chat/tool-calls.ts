import type { ToolFormat } from '../../tokenizer/chat-traits.ts';
import { isRecord } from '../../config/is-record.ts';
import { type CallsRead, gemmaCall, pythonicCalls, type WrittenCall } from './call-literals.ts';
import { jsonEnd, jsonMembers } from './json-span.ts';
import { beginningAtEnd } from './reasoning.ts';

export type CallOrText = WrittenCall | string;

/** What stands at the beginning of a text: so many characters of plain text, calls, or what only more text can tell. */
type Reading = { text: number } | { calls: WrittenCall[]; length: number } | 'unfinished';

/** What came before a text that is read. */
type Before = 'nothing' | 'calls' | 'text';

/** What a format reads at the beginning of `text`. */
type Read = (text: string, known: ReadonlySet<string>, isEnd: boolean, before: Before) => Reading;

/**
 * Finds the calls in an answer as pieces of any length arrive. A call is given once it is whole. What is no call of a
 * known tool in the model's format is plain text, to the letter; only white space around calls goes.
 */
export class ToolCallReader {
  readonly #read: Read;
  #held = '';
  /** White space that goes when a call follows. */
  #space = '';
  #before: Before = 'nothing';
  #behindCall = false;

  constructor(
    format: ToolFormat,
    /** Names of the tools that the model was told of. */
    private readonly known: ReadonlySet<string>,
  ) {
    this.#read = FORMATS[format];
  }

  push(piece: string): CallOrText[] {
    this.#held += piece;
    return this.#parts(false);
  }

  /** What was held back at the end of the answer. */
  flush(): CallOrText[] {
    const parts = this.#parts(true);
    return this.#space !== '' && !this.#behindCall ? [...parts, this.#space] : parts;
  }

  #parts(isEnd: boolean): CallOrText[] {
    const parts: CallOrText[] = [];
    while (this.#held !== '') {
      const reading = this.#read(this.#held, this.known, isEnd, this.#before);
      if (reading === 'unfinished') break;
      if ('calls' in reading) {
        parts.push(...reading.calls);
        this.#space = '';
        this.#behindCall = true;
        if (this.#before === 'nothing') this.#before = 'calls';
        this.#held = this.#held.slice(reading.length);
        continue;
      }
      const text = this.#space + this.#held.slice(0, reading.text);
      this.#held = this.#held.slice(reading.text);
      const kept = text.trimEnd();
      this.#space = text.slice(kept.length);
      if (kept === '') continue;
      this.#before = 'text';
      this.#behindCall = false;
      parts.push(kept);
    }
    return parts;
  }
}

/** What a format has between its tags, from `start` on: calls of known tools. */
type ReadBody = (text: string, start: number, known: ReadonlySet<string>) => CallsRead;

/** How a format marks its calls: the text before them, the text behind them or none. */
interface Tags {
  open: string;
  close: string;
  body: ReadBody;
}

const HERMES: Tags = { open: '<tool_call>', close: '</tool_call>', body: jsonBody('{') };
const MISTRAL: Tags = { open: '[TOOL_CALLS]', close: '', body: jsonBody('[') };
const LFM2: Tags = { open: '<|tool_call_start|>', close: '<|tool_call_end|>', body: pythonicBody };
const GEMMA4: Tags = {
  open: '<|tool_call>',
  close: '<tool_call|>',
  body: (text, start, known) => ofKnown(gemmaCall(text, start), known),
};

const tagged =
  (tags: Tags): Read =>
  (text, known, isEnd) =>
    between(tags, text, known, isEnd);

const FORMATS: Record<ToolFormat, Read> = {
  hermes: tagged(HERMES),
  mistral: tagged(MISTRAL),
  lfm2: tagged(LFM2),
  gemma4: tagged(GEMMA4),
  llama: bare,
};

/** JSON that begins with `bracket`. */
function jsonBody(bracket: '{' | '['): ReadBody {
  return (text, start, known) => {
    if (text[start] !== bracket) return undefined;
    const end = jsonEnd(text, start);
    if (end === undefined) return 'unfinished';
    const calls = parseCalls(text.slice(start, end), 'arguments', known);
    return calls && { calls, end };
  };
}

/** Python's calls, or JSON, which LFM2 writes where its system prompt asks for it. */
function pythonicBody(text: string, start: number, known: ReadonlySet<string>): CallsRead {
  const first = behindSpace(text, start + 1);
  if (text[start] === '{' || (text[start] === '[' && text[first] === '{'))
    return jsonBody(text[start])(text, start, known);
  return ofKnown(pythonicCalls(text, start), known);
}

function ofKnown(read: CallsRead, known: ReadonlySet<string>): CallsRead {
  if (read === undefined || read === 'unfinished') return read;
  return read.calls.length > 0 && read.calls.every(({ name }) => known.has(name)) ? read : undefined;
}

/** Calls between tags; without a closing tag they end by themselves. What follows the opening tag and is no call makes that text. */
function between({ open, close, body }: Tags, text: string, known: ReadonlySet<string>, isEnd: boolean): Reading {
  const at = text.indexOf(open);
  if (at !== 0) {
    const length = at > 0 ? at : text.length - (isEnd ? 0 : beginningAtEnd(text, open));
    return length > 0 ? { text: length } : 'unfinished';
  }
  const noCall = { text: open.length };
  const unfinished = isEnd ? noCall : 'unfinished';
  const start = behindSpace(text, open.length);
  if (start === text.length) return unfinished;
  const read = body(text, start, known);
  if (read === 'unfinished') return unfinished;
  if (!read) return noCall;
  const { calls, end } = read;
  const closeAt = behindSpace(text, end);
  if (close === '' || text.startsWith(close, closeAt))
    return { calls, length: close === '' ? end : closeAt + close.length };
  const rest = text.slice(closeAt);
  if (!close.startsWith(rest)) return noCall;
  // Models may end with the call.
  return isEnd ? (rest === '' ? { calls, length: text.length } : noCall) : 'unfinished';
}

const PYTHON_TAG = '<|python_tag|>';

/** An answer that is nothing but JSON, several calls with semicolons between them. */
function bare(text: string, known: ReadonlySet<string>, isEnd: boolean, before: Before): Reading {
  const noCall = { text: text.length };
  if (before === 'text') return noCall;
  const unfinished = isEnd ? noCall : 'unfinished';
  let start = behindSpace(text, before === 'calls' && text.startsWith(';') ? 1 : 0);
  if (text.startsWith(PYTHON_TAG, start)) start = behindSpace(text, start + PYTHON_TAG.length);
  else if (PYTHON_TAG.startsWith(text.slice(start))) return unfinished;
  if (start === text.length) return unfinished;
  if (text[start] !== '{') return noCall;
  const end = jsonEnd(text, start);
  if (end === undefined) return unfinished;
  const calls = parseCalls(text.slice(start, end), 'parameters', known);
  return calls ? { calls, length: end } : noCall;
}

function behindSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text[at] as string)) at++;
  return at;
}

/** The call, or array of calls, of known tools that `json` is; else undefined. */
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
    // Arguments are passed on as they were written: numbers keep their digits.
    return isRecord(value[argumentsName])
      ? { name: value['name'], arguments: jsonMembers(texts[i] ?? '').get(argumentsName) ?? '' }
      : undefined;
  });
  const whole = calls.filter((call) => call !== undefined);
  return whole.length > 0 && whole.length === values.length ? whole : undefined;
}

/** The texts of an array's objects; `array` must be JSON. */
function jsonItems(array: string): string[] {
  const items: string[] = [];
  for (let at = array.indexOf('{'); at >= 0;) {
    const end = jsonEnd(array, at) ?? array.length;
    items.push(array.slice(at, end));
    at = array.indexOf('{', end);
  }
  return items;
}
