import { expect, test } from 'vitest';
import type { PlannedPart } from '../../src/chunking/prompt-plan.ts';
import { planChunks } from '../support/plan-chunks.ts';
import { inlinePlans, withUntaken } from '../../src/engine/plan-service.ts';

const TEXT = 'the sea and the sea and 7x9 Qz!k the sea; then a lamp, a map and the harbour wind '.repeat(3);
const tokens = Array.from(TEXT, (character) => character.charCodeAt(0));
const text = (token: number): string => String.fromCharCode(token);
const BEFORE = 57;

/** Parts of the plan from `from` on, reported in pieces of `step` tokens. */
async function told(from: number, step: number): Promise<PlannedPart[]> {
  const taking = tokens.slice(BEFORE);
  const texts = new Map(tokens.map((token) => [token, text(token)]));
  const plan = await inlinePlans.begin({
    tokens: taking,
    from: Math.max(0, from - BEFORE),
    texts,
    vocabSize: 128,
    options: {},
  });
  const whole = withUntaken(plan, tokens.slice(0, BEFORE), from);
  const parts: PlannedPart[] = [];
  for (let at = from; at < tokens.length; at += step) parts.push(await whole.part(Math.min(tokens.length, at + step)));
  return parts;
}

test.each([
  [0, 1000],
  [0, 10],
  [0, BEFORE],
  [20, 1],
  [BEFORE, 16],
  [BEFORE + 9, 32],
])('from token %i on in pieces of %i: no adapter before the invocation, and a plan after it', async (from, step) => {
  const parts = await told(from, step);
  const { table, chunks } = planChunks(tokens.slice(BEFORE), { vocabulary: { size: 128, text } });
  const rows = parts.flatMap((part) => part.rows);
  const before = Math.max(0, BEFORE - from);
  expect(parts.flatMap((part) => part.tokens)).toEqual(tokens.slice(from));
  expect(parts.map(({ start, end }) => end - start)).toEqual(parts.map((part) => part.rows.length));
  expect(rows.slice(0, before).every(({ wLo, wHi }) => wLo === 0 && wHi === 0)).toBe(true);
  expect(rows.slice(before)).toEqual(table.slice(Math.max(0, from - BEFORE)));
  const untaken = { start: 0, end: BEFORE, complexity: 0, level: 0, scale: 0 };
  const moved = chunks.map((chunk) => ({ ...chunk, start: chunk.start + BEFORE, end: chunk.end + BEFORE }));
  expect(parts.flatMap((part) => part.chunks)).toEqual([untaken, ...moved].filter(({ end }) => end > from));
});
