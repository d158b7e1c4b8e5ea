import { readFile } from 'node:fs/promises';
import { demoAdapter } from '../engine.ts';
import { type ModeName, withModes } from './modes.ts';
import { measureSpeed } from './speed.ts';
import { ratiosOf } from './sections.ts';

/** Speculation decides by time, so its steps are others in each run. */
const SHORT_MODES: readonly ModeName[] = ['ordinary', 'all'];
/** Counts are the same in every round. The policy has decided by then. */
const SETTINGS = { contexts: [640], steps: 6, rounds: 1, prefillTokens: 0 };
const CONTEXT_LENGTH = 768;
/** The repository's own text: no other is there in CI. */
const TEXT = new URL('../../../tests/support/prose.txt', import.meta.url);

/** What can be told of a short run: the baseline's bytes, dispatches and ranks beside the others'. Times need a quiet machine. */
export async function measureShort(): Promise<{ device: string; ratios: Record<string, number> }> {
  const prose = await readFile(TEXT, 'utf8');
  return withModes(SHORT_MODES, demoAdapter('wikitext'), CONTEXT_LENGTH, async (modes) => {
    const { device, tokenizer } = modes[0]!.engine;
    const speeds = await measureSpeed(modes, tokenizer.encode(prose, { addSpecial: false }), SETTINGS);
    return {
      device,
      ratios: Object.fromEntries(Object.entries(ratiosOf(speeds)).filter(([name]) => !name.includes(': time'))),
    };
  });
}

/** A line for each ratio that is worse than the recorded one by more than `tolerance`, or was not found. */
export function worseThan(
  recorded: Record<string, number>,
  found: Record<string, number>,
  tolerance: number,
): string[] {
  return Object.entries(recorded).flatMap(([name, ratio]) => {
    const now = found[name];
    if (now !== undefined && now <= ratio * (1 + tolerance)) return [];
    return `${name}: ${now?.toFixed(3) ?? 'not measured'}, recorded ${ratio.toFixed(3)}`;
  });
}
