import { readFile, writeFile } from 'node:fs/promises';
import { withBetween } from '../marked.ts';
import type { Estimate } from '../statistics.ts';
import { markdownTable } from '../table.ts';
import type { PeerFigures } from './peer.ts';
import { type PeersSection, readSections } from './sections.ts';

export const DOCUMENT = 'docs/decisions/peers.md';
/** Mark of the generated part of the document. */
export const MARK = 'peers';

const NOT_MEASURED = 'Not measured yet.';
const NONE = '–';

/** Tables of every device. */
export function drawn(sections: Record<string, PeersSection>): string {
  const parts = Object.entries(sections).map(([device, { full, short }]) =>
    [`### ${device}`, ...(full ? [fullTables(full)] : []), ...(short ? [shortTable(short)] : [])].join('\n\n'),
  );
  return parts.length > 0 ? parts.join('\n\n') : NOT_MEASURED;
}

function fullTables({ contexts, steps, rounds, peers }: NonNullable<PeersSection['full']>): string {
  const heads = [
    ...['peer', 'weights', 'adapter'],
    ...contexts.flatMap((context) => [
      `decode at ${thousands(context)}, ms a token`,
      `prompt of ${thousands(context)}, ms a token`,
    ]),
    ...['load, ms', 'code, MB (gzip)', 'peak memory, MB', "llama.cpp's answers"],
  ];
  const rows = peers.map((peer) => [
    `${peer.name} in ${peer.host}`,
    peer.type,
    peer.adapted ? 'yes' : NONE,
    ...cellsOf(peer, contexts),
  ]);
  return `${markdownTable(heads, rows)}\n\n${rounds} rounds; answers of ${steps + 1} tokens. Medians, with 95 % intervals. Of the last column: how many answers are those of llama.cpp on the processor, and how many characters agree from the beginning on (median).`;
}

function cellsOf(peer: PeerFigures, contexts: readonly number[]): string[] {
  if ('error' in peer)
    return [
      `cannot: ${peer.error.replaceAll('|', '\\|')}`,
      ...Array.from({ length: 2 * contexts.length + 3 }, () => NONE),
    ];
  const { load, payload, peakBytes } = peer;
  const at = contexts.map((context) => peer.contexts[context]!);
  return [
    ...at.flatMap(({ decode, prefill }) => [cell(decode, 1), cell(prefill, 1)]),
    cell(load, 0),
    payload ? `${megabytes(payload.bytes)} (${megabytes(payload.gzipBytes)})` : NONE,
    cell(peakBytes, 0, 1e6),
    at
      .map(({ sameAnswers, answers, sharedCharacters }) => `${sameAnswers} of ${answers} (${sharedCharacters})`)
      .join('; '),
  ];
}

/** A column for each processor. */
function shortTable(short: NonNullable<PeersSection['short']>): string {
  const figures = Object.values(short);
  const rows = (part: 'ratios' | 'loose', held: string): string[][] =>
    Object.keys(figures[0]?.[part] ?? {}).map((name) => [
      name,
      ...figures.map((each) => each[part][name]?.toFixed(3) ?? NONE),
      held,
    ]);
  return markdownTable(
    ["Chunkwise's over llama.cpp's, short form", ...Object.keys(short), 'held by the test'],
    [...rows('ratios', 'yes'), ...rows('loose', 'no')],
  );
}

const cell = ({ median, interval }: Estimate, digits: number, unit = 1): string =>
  `${(median / unit).toFixed(digits)} (${interval.map((each) => (each / unit).toFixed(digits)).join(' to ')})`;

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(2);
const thousands = (count: number): string => count.toLocaleString('en');

/** Writes the tables of bench/results/peers.json into the document. */
export async function draw(): Promise<void> {
  const file = new URL(`../../../${DOCUMENT}`, import.meta.url);
  await writeFile(file, withBetween(await readFile(file, 'utf8'), MARK, drawn(await readSections())));
}
