// A decode step of two sequences with an adapter each, against a step of one sequence; lavapipe.
import { measureDecode } from '../cli/measure/timings.ts';
import { loadAdapter, openInNode } from './support/engine.ts';
import { record } from './support/results.ts';
import { estimate, format } from './support/statistics.ts';

const CONTEXT = 256;
const STEPS = 16;
const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 5);
const ADAPTERS = ['wikitext', 'squad'];

const engine = await openInNode();
for (const name of ADAPTERS) await loadAdapter(engine, name);
const uses = ADAPTERS.map((name) => [{ name, scale: 1 }]);
const adaptations = await Promise.all(uses.map((use) => engine.adapt(use, { ranks: 'uniform' })));
const one: number[] = [];
const two: number[] = [];
await engine.alone(async (session) => {
  // The first round compiles shaders.
  for (let round = 0; round <= ROUNDS; round++) {
    const alone = await measureDecode(session, CONTEXT, STEPS, adaptations.slice(0, 1));
    const together = await measureDecode(session, CONTEXT, STEPS, adaptations);
    console.log(`  ${alone.msPerStep.median.toFixed(1)} ms, two streams ${together.msPerStep.median.toFixed(1)} ms`);
    if (round === 0) continue;
    one.push(alone.msPerStep.median);
    two.push(together.msPerStep.median);
  }
});
const ratio = estimate(two.map((ms, i) => ms / (one[i] ?? 0)));
console.log(`${engine.device}: a step of two streams takes ${format(ratio)} times as long as one of one`);
const msPerStep = { one: estimate(one), two: estimate(two) };
await record('streams', engine.device, { context: CONTEXT, rounds: ROUNDS, adapters: ADAPTERS, msPerStep, ratio });
engine.dispose();
process.exit(0);
