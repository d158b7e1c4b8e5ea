import { record, recorded } from '../results.ts';
import type { PeerFigures } from './peer.ts';
import type { RoundSettings } from './rounds.ts';
import type { ShortFigures } from './short.ts';

/** A device's section of bench/results/peers.json: the questions, and each peer's results. */
export interface PeersSection {
  date: string;
  /** Result of the full measurement. */
  full?: RoundSettings & { peers: PeerFigures[] };
  short?: Omit<ShortFigures, 'device'>;
}

export const readSections = (): Promise<Record<string, PeersSection>> => recorded<PeersSection>('peers');

/** Replaces one part and keeps the other. */
export async function keep(
  device: string,
  part: Pick<PeersSection, 'full'> | Pick<PeersSection, 'short'>,
): Promise<void> {
  const { full, short } = (await readSections())[device] ?? {};
  await record('peers', device, { full, short, ...part });
}
