import { describe, isRecord } from '../util/values.ts';
import { largest } from '../util/numbers.ts';
import { MAX_LEVELS } from '../config/limits.ts';
import type { Chunk, ChunkPlan, LevelRule } from './chunk-plan.ts';
import type { RampRow } from './ramps.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

const VERSION = 1;
/** Far above any adapter's rank; modules clamp ranks to their own. */
const MAX_RANK = 65_535;

/** A plan as JSON; `loadPlan` reads it back exactly. */
export function savePlan(plan: ChunkPlan): string {
  return JSON.stringify({ version: VERSION, ...plan });
}

/**
 * Reads the JSON of `savePlan`. Errors: `bad_file` naming the field (invalid JSON, another version, a value out of range,
 * lists of unequal length, gaps between chunks). `file`: name in errors.
 */
export function loadPlan(json: string, file: string): ChunkPlan {
  const read = new Reader(file);
  const plan = read.object(read.parse(json), 'plan');
  if (plan['version'] !== VERSION) throw read.bad('version', `must be ${VERSION}, but is ${describe(plan['version'])}`);
  const count = (value: unknown, field: string) => read.whole(value, field, Number.MAX_SAFE_INTEGER);
  const level = (value: unknown, field: string) => read.whole(value, field, MAX_LEVELS - 1);

  const tokens = read.list(plan['tokens'], 'tokens', count);
  const complexity = read.list(plan['complexity'], 'complexity', (value, field) => read.number(value, field, 0, 1));
  const chunks = read.list(plan['chunks'], 'chunks', (value, field): Chunk => {
    const chunk = read.object(value, field);
    return {
      start: count(chunk['start'], `${field}.start`),
      end: count(chunk['end'], `${field}.end`),
      complexity: read.number(chunk['complexity'], `${field}.complexity`, 0, 1),
      level: level(chunk['level'], `${field}.level`),
      scale: read.number(chunk['scale'], `${field}.scale`),
    };
  });
  const table = read.list(plan['table'], 'table', (value, field): RampRow => {
    const row = read.object(value, field);
    const levelLo = level(row['levelLo'], `${field}.levelLo`);
    const levelHi = level(row['levelHi'], `${field}.levelHi`);
    if (levelLo > levelHi) throw read.bad(`${field}.levelLo`, `${levelLo} is above levelHi, ${levelHi}`);
    return {
      levelLo,
      levelHi,
      wLo: read.number(row['wLo'], `${field}.wLo`),
      wHi: read.number(row['wHi'], `${field}.wHi`),
    };
  });
  const ladder =
    plan['ladder'] === null
      ? null
      : read.list(plan['ladder'], 'ladder', (value, field) => read.number(value, field, 0));

  const levels = plan['levels'] === null ? null : levelRule(read, plan['levels']);

  for (const [field, list] of Object.entries({ complexity, table })) {
    if (list.length !== tokens.length) throw read.bad(field, `${list.length} entries for ${tokens.length} tokens`);
  }
  let end = 0;
  chunks.forEach((chunk, i) => {
    if (chunk.start !== end) throw read.bad(`chunks[${i}].start`, `must be ${end}, not ${chunk.start}`);
    if (chunk.end <= chunk.start) throw read.bad(`chunks[${i}].end`, `must be above ${chunk.start}, not ${chunk.end}`);
    end = chunk.end;
  });
  if (end !== tokens.length) throw read.bad('chunks', `end at ${end} of ${tokens.length} tokens`);
  const highest = largest(
    chunks.map((chunk) => chunk.level),
    0,
  );
  if (ladder && ladder.length <= highest)
    throw read.bad('ladder', `${ladder.length} ranks, though a level is ${highest}`);
  const strange = table.findIndex((row) => row.levelHi > highest);
  if (strange >= 0) throw read.bad(`table[${strange}].levelHi`, `is above ${highest}, the highest level of a chunk`);
  if (levels && 'ranks' in levels && levels.ranks.length <= highest)
    throw read.bad('levels', `${levels.ranks.length} ranks, though a level is ${highest}`);
  return { tokens, complexity, chunks, table, ladder, levels };
}

function levelRule(read: Reader, value: unknown): LevelRule {
  const { ranks, rankErrorBudget } = read.object(value, 'levels');
  if (ranks === undefined) return { rankErrorBudget: read.number(rankErrorBudget, 'levels.rankErrorBudget', 0, 1) };
  const list = read.list(ranks, 'levels.ranks', (rank, field) => read.whole(rank, field, MAX_RANK));
  if (list.length > MAX_LEVELS)
    throw read.bad('levels.ranks', `has ${list.length} levels; at most ${MAX_LEVELS} are there`);
  return { ranks: list };
}

/** Validates parsed JSON; errors name the field. */
class Reader {
  constructor(private readonly file: string) {}

  bad(field: string, reason: string, cause?: unknown): ChunkwiseError {
    return new ChunkwiseError('bad_file', { file: this.file, field, reason }, { cause });
  }

  parse(json: string): unknown {
    try {
      return JSON.parse(json) as unknown;
    } catch (cause) {
      throw this.bad('plan', 'is not JSON', cause);
    }
  }

  object(value: unknown, field: string): Record<string, unknown> {
    if (isRecord(value)) return value;
    throw this.bad(field, 'must be an object');
  }

  list<T>(value: unknown, field: string, item: (value: unknown, field: string) => T): T[] {
    if (!Array.isArray(value)) throw this.bad(field, 'must be a list');
    return value.map((each: unknown, i) => item(each, `${field}[${i}]`));
  }

  number(value: unknown, field: string, min = -Number.MAX_VALUE, max = Number.MAX_VALUE): number {
    if (typeof value === 'number' && value >= min && value <= max) return value;
    const range =
      max < Number.MAX_VALUE ? ` from ${min} to ${max}` : min > -Number.MAX_VALUE ? ` of at least ${min}` : '';
    throw this.bad(field, `must be a number${range}, but is ${describe(value)}`);
  }

  whole(value: unknown, field: string, max: number): number {
    const number = this.number(value, field, 0, max);
    if (Number.isInteger(number)) return number;
    throw this.bad(field, `must be a whole number, but is ${number}`);
  }
}
