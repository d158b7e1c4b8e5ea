import type { AdaptedSpan } from '../cache/adapted-span.ts';
import type { AdapterUse } from './types.ts';

/** An adapter that a text takes, from its token `from` on. */
export interface ActiveUse extends AdapterUse {
  from: number;
}

/**
 * Where the last occurrence of `invocation` in a text begins; undefined where there is none (PEFT 0.21,
 * tuners/lora/variants.py, calculate_alora_offsets).
 */
export function invokedAt(tokens: readonly number[], invocation: readonly number[]): number | undefined {
  for (let start = tokens.length - invocation.length; start >= 0; start--) {
    if (invocation.every((token, i) => tokens[start + i] === token)) return start;
  }
  return undefined;
}

/** What a text is computed with: the base alone, and from where each adapter begins, all that have begun. `keyOf`: stands for some of them. */
export function spansOf(active: readonly ActiveUse[], keyOf: (uses: readonly AdapterUse[]) => string): AdaptedSpan[] {
  const starts = [...new Set([0, ...active.map(({ from }) => from)])].sort((a, b) => a - b);
  return starts.map((from) => {
    const uses = active.filter((use) => use.from <= from);
    return { from, key: uses.length === 0 ? '' : keyOf(uses) };
  });
}
