import { record, recorded } from '../results.ts';
import type { PeerFigures } from './peer.ts';
import type { RoundSettings } from './rounds.ts';
import type { ShortFigures } from './short.ts';

/** A device's in bench/results/peers.json: what was asked, and of each peer what was found. */
export interface PeersSection {
  date: string;
  /** Of the whole measurement. */
  full?: RoundSettings & { peers: PeerFigures[] };
  short?: Omit<ShortFigures, 'device'>;
}

export const readSections = (): Promise<Record<string, PeersSection>> => recorded<PeersSection>('peers');

/** Puts one of them beside the other, which stays. */
export async function keep(
  device: string,
  part: Pick<PeersSection, 'full'> | Pick<PeersSection, 'short'>,
): Promise<void> {
  const { full, short } = (await readSections())[device] ?? {};
  await record('peers', device, { full, short, ...part });
}
