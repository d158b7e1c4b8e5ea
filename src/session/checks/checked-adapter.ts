import { AdapterArena, type ArenaAdapter } from '../../adapters/adapter-arena.ts';
import type { LadderModule } from '../../adapters/rank-ladder.ts';
import {
  type LinearGroup,
  linearShape,
  linearsOfGroup,
  linearsOfModel,
  mostSideBySide,
} from '../../architectures/linears.ts';
import type { RampRow } from '../../chunking/ramps.ts';
import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import type { BatchShape } from '../../layers/batch.ts';
import { anyHalves, anyNumbers, dot } from '../../models/checks/known-values.ts';
import { floatToHalf } from '../../weights/float-tensor.ts';
import { loraBatch } from '../adapter-mix.ts';

/**
 * Ranks of each level, one for each loop of lora-run/pairs; more components than the other runs, and prefill, compute
 * at once.
 */
const RANKS = [5, 18, 50];
const RANK = 50;
/** The adapter is in its mix twice. */
const SCALES = [1 / 64, 1 / 32];
/**
 * Some tokens take all of it, some little, and some a part: the first three, as many as decoding computes, cover each
 * loop.
 */
const ROWS: readonly RampRow[] = [
  { levelLo: 0, levelHi: 2, wLo: 1, wHi: 0.5 },
  { levelLo: 1, levelHi: 1, wLo: 1, wHi: 0 },
  { levelLo: 0, levelHi: 0, wLo: 1, wHi: 0 },
  { levelLo: 2, levelHi: 2, wLo: 1, wHi: 0 },
];

/** Compared outputs of a group: the last of its first linear, and, where there is one, the first of its second. */
export interface Outputs {
  start: number;
  count: number;
}

/** An adapter of one layer in its own arena, and its effect on the linears. */
export class CheckedAdapter {
  readonly arena: AdapterArena;
  readonly #adapter: ArenaAdapter;
  readonly #factors = new Map<string, { a: Float32Array; b: Float32Array }>();

  constructor(
    device: Device,
    private readonly config: ModelConfig,
    mostTokens: number,
  ) {
    const next = anyNumbers();
    const modules = linearsOfModel(config).map((linear): LadderModule => {
      const [outFeatures, inFeatures] = linearShape(config, linear);
      const [a, b] = [anyHalves(RANK * inFeatures, next), anyHalves(RANK * outFeatures, next)];
      this.#factors.set(linear, { a, b });
      const halves = { a: Uint16Array.from(a, floatToHalf), bTransposed: Uint16Array.from(b, floatToHalf) };
      return {
        name: linear,
        layer: 0,
        linear,
        rank: RANK,
        inFeatures,
        outFeatures,
        ...halves,
        singularValues: new Float64Array(RANK),
      };
    });
    this.arena = new AdapterArena(device, 1, mostTokens * SCALES.length, mostSideBySide(config));
    const ranks = RANKS.map((rank) => modules.map(() => rank));
    this.#adapter = this.arena.add(modules, ranks);
  }

  /** Writes the tokens' rows. */
  begin(kind: BatchShape['kind'], tokens: number): BatchShape {
    const adapter = this.#adapter;
    const mix = { adapters: SCALES.map((scale) => ({ adapter, table: '', scale })), loras: [], key: 'check' };
    const batch = loraBatch(
      this.arena,
      Array.from({ length: tokens }, (_, i) => ({ mix, slot: 0, row: rowOf(i) })),
    );
    if (batch) this.arena.writeRows(batch.rows);
    return { kind, tokens, lora: batch?.lora };
  }

  /** B · A · input of a token, for these outputs of a group. */
  delta(group: LinearGroup, token: number, input: Float32Array, { start, count }: Outputs): Float32Array {
    const sums = new Float32Array(count);
    let first = 0;
    for (const linear of linearsOfGroup(group)) {
      const [out, columns] = linearShape(this.config, linear);
      const { a, b } = this.#factors.get(linear)!;
      const from = Math.max(first, start);
      const to = Math.min(first + out, start + count);
      if (from < to)
        lowered(a, columns, input).forEach((h, k) => {
          const weighted = h * weightOf(token, k);
          for (let row = from; row < to; row++) sums[row - start]! += weighted * b[k * out + row - first]!;
        });
      first += out;
    }
    return sums;
  }
}

const rowOf = (token: number): RampRow => ROWS[token % ROWS.length]!;

function weightOf(token: number, component: number): number {
  const { levelLo, levelHi, wLo, wHi } = rowOf(token);
  const weight = component < RANKS[levelLo]! ? wLo : component < RANKS[levelHi]! ? wHi : 0;
  return weight * SCALES.reduce((sum, scale) => sum + scale, 0);
}

const lowered = (a: Float32Array, columns: number, input: Float32Array): number[] =>
  Array.from({ length: RANK }, (_, k) => dot(a.subarray(k * columns, (k + 1) * columns), input));
