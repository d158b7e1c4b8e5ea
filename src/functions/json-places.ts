/** A scalar of a JSON text, with its place in the text. */
export interface Placed {
  value: string | number | boolean | null;
  /** Index of its first character; of a string's opening quote. */
  begin: number;
}

/** JSON whose scalars have places. */
export type PlacedJson = Placed | PlacedJson[] | Map<string, PlacedJson>;

export const isPlaced = (json: PlacedJson | undefined): json is Placed =>
  json !== undefined && !Array.isArray(json) && !(json instanceof Map);

/** Parses a text that is valid JSON. Keeps the place of each scalar. */
export function parsePlaces(text: string): PlacedJson {
  const tokens = text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
  let token = tokens.next();
  const take = (): { text: string; begin: number } => {
    const { 0: own, index } = token.value as RegExpExecArray;
    token = tokens.next();
    return { text: own, begin: index };
  };
  const isNext = (sign: string): boolean => token.value?.[0] === sign;
  const readValue = (): PlacedJson => {
    const { text: own, begin } = take();
    if (own === '{') return readFields();
    if (own === '[') return readItems();
    return { value: JSON.parse(own) as Placed['value'], begin };
  };
  const readFields = (): PlacedJson => {
    const fields = new Map<string, PlacedJson>();
    while (!isNext('}')) {
      const name = JSON.parse(take().text) as string;
      take(); // the colon
      fields.set(name, readValue());
      if (isNext(',')) take();
    }
    take();
    return fields;
  };
  const readItems = (): PlacedJson => {
    const items: PlacedJson[] = [];
    while (!isNext(']')) {
      items.push(readValue());
      if (isNext(',')) take();
    }
    take();
    return items;
  };
  return readValue();
}
