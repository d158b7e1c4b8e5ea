import { readFile } from 'node:fs/promises';
import { demoAdapter } from '../engine.ts';
import { type ModeName, withModes } from './modes.ts';
import { measureSpeed } from './speed.ts';
import { ratiosOf } from './sections.ts';

/** Speculation decides by time, so its steps vary between runs. */
const SHORT_MODES: readonly ModeName[] = ['ordinary', 'all'];
/** Counts are equal in every round, after the policy has decided. */
const SETTINGS = { contexts: [640], steps: 6, rounds: 1, prefillTokens: 0 };
const CONTEXT_LENGTH = 768;
/** The repository's own text, the only one in CI. */
const TEXT = new URL('../../../tests/support/prose.txt', import.meta.url);

/** Results of a short run: bytes, dispatches and ranks relative to the baseline. Times need a quiet machine. */
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

/** A line per ratio that is worse than recorded by more than `tolerance`, or missing. */
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
