import type { AdapterArena } from '../../adapters/adapter-arena.ts';
import { entropyComplexity } from '../../chunking/complexity.ts';
import { nextLevel } from '../../chunking/chunk-plan.ts';
import { DecodeRamp } from '../../chunking/ramps.ts';
import type { Device } from '../../gpu/device.ts';
import type { Check } from '../../gpu/self-check.ts';
import { bufferOf } from '../../models/checks/known-values.ts';
import { LEVEL_BYTES, LevelControl, type LevelOptions } from '../sampling/level-control.ts';

const OPTIONS: LevelOptions = { thresholds: [0.3, 0.5, 0.7], hysteresis: 0.05, smoothing: 0.5, rampWidth: 2 };
/** Slots: a ramp up, one that is over and delays the next change, a change that is too small, a ramp down. */
const STREAMS = [
  { level: 0, complexity: 0.2, entropy: 0.81, steps: 1 },
  { level: 3, complexity: 0.9, entropy: 0.04, steps: 3 },
  { level: 1, complexity: 0.49, entropy: 0.26, steps: 1 },
  { level: 2, complexity: 0.6, entropy: 0, steps: 1 },
];

/** The level of each slot's next token follows the entropies as on the host. */
export function levelCheck(device: Device, arena: AdapterArena): Check {
  const entropies = bufferOf(
    device,
    Float32Array.from(STREAMS, ({ entropy }) => entropy),
  );
  const levels = new LevelControl(device, arena, entropies);
  const expected = STREAMS.flatMap(followed);
  return {
    name: 'sample-level with adapters',
    make() {
      levels.prepare();
      return (recorder) => {
        STREAMS.forEach(({ steps, ...start }, slot) => {
          levels.begin(slot, start);
          for (let step = 0; step < steps; step++) levels.record(recorder, slot, OPTIONS);
        });
      };
    },
    result: STREAMS.flatMap((_, slot) => levels.of(slot)),
    read: (bytes) =>
      STREAMS.flatMap((_, slot) => {
        const { levelState, row } = LevelControl.stateOf(bytes.slice(slot * LEVEL_BYTES, (slot + 1) * LEVEL_BYTES));
        return [new Float32Array(levelState)[3] ?? NaN, row.levelLo, row.levelHi, row.wLo, row.wHi];
      }),
    expected,
    row: expected.length / STREAMS.length,
  };
}

/** A slot's complexity, and the row of its next token. */
function followed({ level, complexity: before, entropy, steps }: (typeof STREAMS)[number]): number[] {
  const { thresholds, hysteresis, smoothing, rampWidth } = OPTIONS;
  const ramp = new DecodeRamp({ level, scale: 1 }, rampWidth);
  let complexity = before;
  let row: number[] = [];
  for (let step = 0; step < steps; step++) {
    complexity += (entropyComplexity(entropy) - complexity) * smoothing;
    const { levelLo, levelHi, wLo, wHi } = ramp.next({
      level: nextLevel(ramp.level, complexity, thresholds, hysteresis),
      scale: 1,
    });
    row = [levelLo, levelHi, wLo, wHi];
  }
  return [complexity, ...row];
}
