import { cpus } from 'node:os';
import { record, recorded } from '../results.ts';
import type { PeerFigures } from './peer.ts';
import type { RoundSettings } from './rounds.ts';
import type { ShortFigures } from './short.ts';

/** A device's section of bench/results/peers.json: the questions, and each peer's results. */
export interface PeersSection {
  date: string;
  /** Result of the full measurement. */
  full?: RoundSettings & { peers: PeerFigures[] };
  /** By processor: ratios of the same code differ between processors by a quarter. */
  short?: Record<string, Omit<ShortFigures, 'device'>>;
}

export const readSections = (): Promise<Record<string, PeersSection>> => recorded<PeersSection>('peers');

/** Replaces the full measurement. */
export async function keepFull(device: string, full: NonNullable<PeersSection['full']>): Promise<void> {
  const { short } = (await readSections())[device] ?? {};
  await record('peers', device, { full, short });
}

/** Replaces the short measurement of this processor. */
export async function keepShort({ device, ...figures }: ShortFigures): Promise<void> {
  const { full, short } = (await readSections())[device] ?? {};
  const processor = cpus()[0]?.model ?? 'unknown';
  await record('peers', device, { full, short: { ...short, [processor]: figures } });
}

/** The worst ratios of all processors, by name. */
export async function worstShortRatios(): Promise<Record<string, number>> {
  const worst: Record<string, number> = {};
  for (const { short = {} } of Object.values(await readSections())) {
    for (const { ratios } of Object.values(short)) {
      for (const [name, ratio] of Object.entries(ratios)) worst[name] = Math.max(worst[name] ?? 0, ratio);
    }
  }
  return worst;
}
