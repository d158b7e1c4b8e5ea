import type { Random } from '../support/random.ts';

export const pick = <T>(from: readonly T[], random: Random): T => from[random.below(from.length)]!;

const LENGTHS = [0n, 1n, 255n, 2n ** 31n, 2n ** 31n - 1n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** A copy of `bytes` with one mutation within `[from, to)`, and its description. */
export function mutateBytes(
  bytes: Uint8Array,
  from: number,
  to: number,
  random: Random,
): [what: string, bytes: Uint8Array] {
  const mutated = bytes.slice();
  const at = from + random.below(Math.max(1, to - from - 8));
  const view = new DataView(mutated.buffer);
  switch (random.below(6)) {
    case 0:
      mutated[at]! ^= 1 << random.below(8);
      return [`bit flipped at ${at}`, mutated];
    case 1: {
      const length = pick(LENGTHS, random);
      view.setBigUint64(at, length, true);
      return [`${length} at ${at}`, mutated];
    }
    case 2: {
      const type = random.below(64);
      view.setUint32(at, type, true);
      return [`${type} at ${at}`, mutated];
    }
    case 3: {
      const run = 1 + random.below(64);
      for (let i = 0; i < run && at + i < to; i++) mutated[at + i] = random.below(256);
      return [`${run} random bytes at ${at}`, mutated];
    }
    case 4:
      mutated[at] = 0x30 + random.below(10);
      return [`a digit at ${at}`, mutated];
    default:
      return [`cut at ${at}`, mutated.slice(0, at)];
  }
}

/** JSON texts that `JSON.stringify` cannot produce, by placeholder. */
const MARKS: Readonly<Record<string, string>> = {
  '@infinite': '1e999',
  '@nested': `${'['.repeat(5000)}${']'.repeat(5000)}`,
  '@objects': `${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`,
};

/** Values that no field should have. */
export const HOSTILE: readonly unknown[] = [
  ...[null, true, false, 0, -1, 1, 0.5, 1e-300, 1e12, 5e7, 1e9, 2 ** 31, 2 ** 53, 1.7e308, '@infinite'],
  ...['', ' ', 'a', '(', '[', '\ud800', '\0', '▁', '<|im_end|>', '[PAD5]', '__proto__', 'constructor'],
  ...['x'.repeat(5000), '('.repeat(2000) + ')'.repeat(2000), 'a b'.repeat(300), '.?'.repeat(900)],
  ...[[], {}, [1], ['a'], [[]], { a: 1 }, { toString: 1, valueOf: 1 }, { length: 5 }, '@nested', '@objects'],
  ...[Array.from({ length: 3000 }, (_, i) => i), Array.from({ length: 3000 }, (_, i) => `token ${i}`)],
];

/** The small ones of HOSTILE, for inputs that are read repeatedly. */
export const SMALL_HOSTILE = HOSTILE.filter(
  (value) => (JSON.stringify(value) ?? '').length < 100 && value !== '@nested' && value !== '@objects',
);

/** The JSON text of `root` with one or two mutations, and their description. */
export function mutateJson(root: unknown, random: Random, hostile = HOSTILE): [what: string, text: string] {
  const changed = { root: structuredClone(root) };
  const what = [mutatePlace(changed, random, hostile)];
  if (random.below(3) === 0) what.push(mutatePlace(changed, random, hostile));
  let text = JSON.stringify(changed.root) ?? 'null';
  for (const [mark, written] of Object.entries(MARKS)) text = text.replaceAll(`"${mark}"`, written);
  return [what.join('; '), text];
}

type Container = Record<string, unknown>;

function mutatePlace(changed: { root: unknown }, random: Random, hostile: readonly unknown[]): string {
  let container = changed as Container;
  let key = 'root';
  const path: string[] = [];
  // Descends from the root, not always to a leaf.
  for (;;) {
    const inside = container[key];
    const keys = typeof inside === 'object' && inside !== null ? Object.keys(inside) : [];
    if (keys.length === 0 || (path.length > 0 && random.below(3) === 0)) break;
    container = inside as Container;
    key = pick(keys, random);
    path.push(key);
  }
  const place = path.join('.').slice(0, 80);
  if (random.below(8) === 0) {
    if (Array.isArray(container)) container.splice(Number(key), 1);
    else delete container[key];
    return `${place} deleted`;
  }
  const own = container[key];
  if (random.below(8) === 0 && typeof own === 'string') {
    const [what, text] = mutateText(own, random, ['\0', '"', '(', ' ', '▁']);
    container[key] = text;
    return `${place}: ${what}`;
  }
  const value = structuredClone(pick(hostile, random));
  if (random.below(8) === 0) container[`${key}_`] = value;
  else container[key] = value;
  return `${place} = ${(JSON.stringify(value) ?? 'undefined').slice(0, 40)}`;
}

/** `text` with a span cut, repeated or moved, or one of `pieces` inserted, and a description. */
export function mutateText(text: string, random: Random, pieces: readonly string[]): [what: string, text: string] {
  const at = random.below(text.length + 1);
  const end = Math.min(text.length, at + 1 + random.below(pick([2, 10, 60], random)));
  const span = text.slice(at, end);
  const without = text.slice(0, at) + text.slice(end);
  switch (random.below(4)) {
    case 0:
      return [`${JSON.stringify(span)} cut at ${at}`, without];
    case 1:
      return [`${JSON.stringify(span)} repeated at ${at}`, text.slice(0, end) + span + text.slice(end)];
    case 2: {
      const to = random.below(without.length + 1);
      return [`${JSON.stringify(span)} moved from ${at} to ${to}`, without.slice(0, to) + span + without.slice(to)];
    }
    default: {
      const piece = pick(pieces, random);
      return [`${JSON.stringify(piece.slice(0, 40))} put in at ${at}`, text.slice(0, at) + piece + text.slice(at)];
    }
  }
}

export const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
