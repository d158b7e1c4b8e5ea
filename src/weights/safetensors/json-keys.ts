/** The keys of the outermost object of `text`, which is valid JSON, in its order and with repetitions. */
export function topLevelKeys(text: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  let atKey = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '"') {
      const start = i;
      for (i++; text[i] !== '"'; i++) if (text[i] === '\\') i++;
      if (atKey) keys.push(JSON.parse(text.slice(start, i + 1)) as string);
      atKey = false;
    } else if (character === '{' || character === '[') {
      depth++;
      atKey = depth === 1;
    } else if (character === '}' || character === ']') {
      depth--;
    } else if (character === ',') {
      atKey = depth === 1;
    }
  }
  return keys;
}
