/**
 * Finds where an object, array or string of JSON ends, in pieces that follow one another. Only brackets and strings are looked
 * at: whether it is JSON is for the parser to say.
 */
export class JsonSpan {
  #depth = 0;
  #inString = false;
  #isEscaped = false;

  /** The place behind it in a piece that is read from `from` on; undefined where it goes on behind the piece. */
  end(piece: string, from: number): number | undefined {
    for (let at = from; at < piece.length; at++) {
      if (this.#isEscaped) this.#isEscaped = false;
      else if (this.#isEnd(piece[at] as string)) return at + 1;
    }
    return undefined;
  }

  #isEnd(char: string): boolean {
    if (this.#inString) {
      this.#isEscaped = char === '\\';
      this.#inString = char !== '"';
      return !this.#inString && this.#depth === 0;
    }
    this.#inString = char === '"';
    if (char === '{' || char === '[') this.#depth++;
    if (char !== '}' && char !== ']') return false;
    this.#depth--;
    return this.#depth <= 0;
  }
}

/** The place behind the object, array or string of JSON that begins at `start`; undefined where the text ends within it. */
export const jsonEnd = (text: string, start: number): number | undefined => new JsonSpan().end(text, start);

/** The text of each member of an object, as it stands there; `object` must be JSON. */
export function jsonMembers(object: string): Map<string, string> {
  const members = new Map<string, string>();
  let at = object.indexOf('"');
  while (at >= 0) {
    const keyEnd = jsonEnd(object, at) ?? object.length;
    const colon = object.indexOf(':', keyEnd);
    const valueAt = colon + 1 + object.slice(colon + 1).search(/\S/);
    const end = /["{[]/.test(object[valueAt] ?? '')
      ? (jsonEnd(object, valueAt) ?? object.length)
      : valueAt + object.slice(valueAt).search(/[\s,}]/);
    members.set(JSON.parse(object.slice(at, keyEnd)) as string, object.slice(valueAt, end));
    at = object.indexOf('"', end);
  }
  return members;
}
