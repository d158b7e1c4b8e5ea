import { readFile } from 'node:fs/promises';
import { demoAdapter } from '../engine.ts';
import { type ModeName, withModes } from './modes.ts';
import { measureSpeed } from './speed.ts';
import { ratiosOf } from './sections.ts';

/** What the mechanisms are; speculation decides by time, so its steps are others in each run. */
const SHORT_MODES: readonly ModeName[] = ['ordinary', 'fused', 'ranks', 'cache', 'all'];
/** Many rounds of few tokens: what else the machine does comes and goes within some of them. */
const SETTINGS = { contexts: [512], steps: 6, rounds: 15, prefillTokens: 0 };
const CONTEXT_LENGTH = 640;
/** The repository's own text: no other is there in CI. */
const TEXT = new URL('../../../tests/support/prose.txt', import.meta.url);

/** The measurement in two minutes: ratios to the baseline, which are held against those that were recorded. */
export async function measureShort(): Promise<{ device: string; ratios: Record<string, number> }> {
  const prose = await readFile(TEXT, 'utf8');
  return withModes(SHORT_MODES, demoAdapter('wikitext'), CONTEXT_LENGTH, async (modes) => {
    const { device, tokenizer } = modes[0]!.engine;
    const speeds = await measureSpeed(modes, tokenizer.encode(prose, { addSpecial: false }), SETTINGS);
    return { device, ratios: ratiosOf(speeds) };
  });
}

/** A line for each ratio that is worse than the recorded one by more than `tolerance`, or was not found. */
export function worseThan(recorded: Record<string, number>, found: Record<string, number>, tolerance: number): string[] {
  return Object.entries(recorded).flatMap(([name, ratio]) => {
    const now = found[name];
    if (now !== undefined && now <= ratio * (1 + tolerance)) return [];
    return `${name}: ${now?.toFixed(3) ?? 'not measured'}, recorded ${ratio.toFixed(3)}`;
  });
}
