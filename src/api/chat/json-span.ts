/**
 * The place behind the object, array or string of JSON that begins at `start`; undefined where the text ends within it.
 * Only brackets and strings are looked at: whether it is JSON is for the parser to say.
 */
export function jsonEnd(text: string, start: number): number | undefined {
  let depth = 0;
  let inString = false;
  for (let at = start; at < text.length; at++) {
    const char = text[at];
    if (inString && char === '\\') at++;
    else if (char === '"') inString = !inString;
    else if (inString) continue;
    else if (char === '{' || char === '[') depth++;
    else if (char === '}' || char === ']') depth--;
    const closed = char === '"' || char === '}' || char === ']';
    if (closed && !inString && depth <= 0) return at + 1;
  }
  return undefined;
}

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
