/** One of the kinds of tokenizer: how plain text becomes ids, and an id bytes. */
export interface Scheme {
  /** `text` begins the prompt or follows a special token. */
  words(text: string): Iterable<string>;
  pieces(word: string): string[];
  /** Ids of a piece that is no token. */
  fallback(piece: string): number[];
  bytes(text: string, type: number): Uint8Array;
  addBos: boolean;
  addEos?: boolean;
}
