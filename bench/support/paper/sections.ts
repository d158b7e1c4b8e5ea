import { record, recorded } from '../results.ts';
import type { AnswerQuality, TextQuality, Windows } from './quality.ts';
import { BASELINE } from './modes.ts';
import type { AtTask, Speed, SpeedSettings, TaskSettings } from './speed.ts';

/** Results of adapters of one rank by mode, with the date of each part. */
export interface RankSection {
  speed?: SpeedSettings & { modes: Record<string, Speed> };
  /** Results by task and mode. */
  tasks?: TaskSettings & { tasks: Record<string, Record<string, AtTask>> };
  /** Results by text, with its adapter. */
  perplexity?: Windows & { texts: Record<string, { adapter: string; modes: Record<string, TextQuality> }> };
  answers?: { questions: number; modes: Record<string, AnswerQuality> };
}

/** A device's section of bench/results/paper.json. */
export interface PaperSection {
  date: string;
  ranks: Record<string, RankSection>;
  /** Ratios of the short measurement to the baseline, by name; lower is better. */
  short?: Record<string, number>;
}

export const readSections = (): Promise<Record<string, PaperSection>> => recorded<PaperSection>('paper');

/** Merges parts into a device's section. */
export async function keepParts(device: string, rank: number, parts: RankSection): Promise<void> {
  const { ranks = {}, ...section } = (await readSections())[device] ?? {};
  await record('paper', device, {
    ...section,
    ranks: { ...ranks, [rank]: { ...ranks[rank], ...parts } },
    date: today(),
  });
}

export async function keepShort(device: string, short: Record<string, number>): Promise<void> {
  const { ranks = {}, ...section } = (await readSections())[device] ?? {};
  await record('paper', device, { ...section, ranks, short, date: today() });
}

const today = (): string => new Date().toISOString().slice(0, 10);

/**
 * Ratios of each mode's figures to the baseline: lower is better. Counts and bytes are equal in every run, times are
 * not.
 */
export function ratiosOf(speeds: Record<string, Speed>): Record<string, number> {
  const ratios: Record<string, number> = {};
  for (const [name, { contexts, prefill }] of Object.entries(speeds)) {
    if (name === BASELINE) continue;
    for (const [context, found] of Object.entries(contexts)) {
      const beside = speeds[BASELINE]!.contexts[context]!;
      const put = (what: string, ratio: number) => (ratios[`${name}: ${what} at ${context}`] = ratio);
      put('time', found.ratio.median);
      put('dispatches', found.dispatchesPerToken / beside.dispatchesPerToken);
      put('bytes', found.memory.total / beside.memory.total);
      put('cache bytes', found.memory.kv / beside.memory.kv);
      put('bits an element', found.bitsPerElement / beside.bitsPerElement);
      put('mean rank', found.meanRank / beside.meanRank);
    }
    if (prefill) ratios[`${name}: time of a prompt`] = prefill.ratio.median;
  }
  return ratios;
}
