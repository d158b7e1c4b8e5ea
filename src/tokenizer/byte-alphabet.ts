/**
 * GPT-2's alphabet: each byte as one printable character, so that byte-level BPE can work on strings. Printable Latin-1
 * bytes stand for themselves, the others for U+0100 and up (OpenAI's GPT-2, encoder.py, bytes_to_unicode).
 */
const CHARS: string[] = [];
const BYTES = new Map<string, number>();

const isPrintable = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const char = String.fromCharCode(isPrintable(byte) ? byte : next++);
  CHARS.push(char);
  BYTES.set(char, byte);
}

const encoder = new TextEncoder();

/** The UTF-8 bytes of `text`, one character each. A lone surrogate becomes U+FFFD. */
export const toByteAlphabet = (text: string): string => bytesInAlphabet(encoder.encode(text));

/** One character for each byte. */
export function bytesInAlphabet(bytes: Uint8Array): string {
  let chars = '';
  for (const byte of bytes) chars += CHARS[byte];
  return chars;
}

/** The bytes that `chars` stand for; a character outside the alphabet gives its own UTF-8 bytes. */
export function fromByteAlphabet(chars: string): Uint8Array {
  const bytes: number[] = [];
  for (const char of chars) {
    const byte = BYTES.get(char);
    if (byte === undefined) bytes.push(...encoder.encode(char));
    else bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
