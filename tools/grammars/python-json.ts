/**
 * JSON as Python's `json.dumps(json.loads(text), ensure_ascii=False)` writes it: the order of names and the form of
 * numbers stay, which `JSON.parse` loses.
 */
export function asPython(text: string): string {
  let at = 0;

  function space(): void {
    while (' \t\n\r'.includes(text[at] ?? '?')) at++;
  }

  function string(): string {
    const from = at++;
    while (text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    return JSON.parse(text.slice(from, ++at)) as string;
  }

  /** Items between brackets, each read by `item`. */
  function list(item: () => void): void {
    at++;
    space();
    if (']}'.includes(text[at] ?? '')) at++;
    else
      for (;;) {
        item();
        space();
        if (text[at++] !== ',') return;
      }
  }

  function value(): string {
    space();
    if (text[at] === '"') return writeString(string());
    if (text[at] === '[') {
      const items: string[] = [];
      list(() => items.push(value()));
      return `[${items.join(', ')}]`;
    }
    if (text[at] === '{') {
      const members = new Map<string, string>();
      list(() => {
        space();
        const name = string();
        space();
        at++;
        members.set(name, value());
      });
      return `{${[...members].map(([name, member]) => `${writeString(name)}: ${member}`).join(', ')}}`;
    }
    const [word = ''] = /^[^\s,\]}]+/.exec(text.slice(at, at + 400)) ?? [];
    at += word.length;
    return /^-?\d/.test(word) ? writeNumber(word) : word;
  }

  return value();
}

/** The texts of the members of an object or array of JSON, by name or index. */
export function membersOf(text: string): Map<string, string> {
  const members = new Map<string, string>();
  let [depth, inString, from, name] = [0, false, 0, ''];
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (inString) {
      if (char === '\\') at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (depth === 1 && char === ':') {
      name = JSON.parse(text.slice(from, at)) as string;
      from = at + 1;
    } else if (depth === 1 && (char === ',' || char === ']' || char === '}')) {
      const member = text.slice(from, at).trim();
      if (member !== '') members.set(name === '' && text.trimStart()[0] === '[' ? String(members.size) : name, member);
      from = at + 1;
      if (char !== ',') depth--;
    } else if (char === '[' || char === '{') {
      if (++depth === 1) from = at + 1;
    } else if (char === ']' || char === '}') depth--;
  }
  return members;
}

const SHORT: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\b': '\\b',
  '\f': '\\f',
};

const writeString = (text: string): string =>
  `"${[...text].map((char) => SHORT[char] ?? (char < ' ' ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : char)).join('')}"`;

function writeNumber(word: string): string {
  if (/^-?\d+$/.test(word)) return String(BigInt(word));
  const number = Number(word);
  if (!Number.isFinite(number)) return number > 0 ? 'Infinity' : '-Infinity';
  if (Object.is(number, -0)) return '-0.0';
  const [digits = '', exponent = '0'] = number.toExponential().split('e');
  const power = Number(exponent);
  if (power < -4 || power >= 16) return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
  const plain = power < 0 ? number.toFixed(digits.replace(/[-.]/g, '').length - 1 - power) : String(number);
  return plain.includes('.') ? plain : `${plain}.0`;
}
