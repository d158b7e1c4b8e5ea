// Time to load an adapter of rank 16 on 210 linears, first and with its stored ladder, and the cost of a request that
// switches adapters; lavapipe.
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildAdapterLadder } from '../../src/adapters/rank-ladder.ts';
import { cachedLadders } from '../../src/adapters/ladder-cache.ts';
import { GREEDY } from '../../src/config/sampling.ts';
import { ladderStore } from '../../cli/ranks.ts';
import { loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { estimate, format } from '../support/statistics.ts';

const ROUNDS = Number(process.env.CHUNKWISE_ROUNDS ?? 9);
const [ADAPTER, OTHER] = ['wikitext', 'squad'];

let store = '';
const build = cachedLadders(
  { get: (key) => ladderStore(store).get(key), put: (key, bytes) => ladderStore(store).put(key, bytes) },
  async (adapter, options) => buildAdapterLadder(adapter, options),
);
const engine = await openInNode({ buildLadders: build });
const first: number[] = [];
const kept: number[] = [];
for (let round = 0; round <= ROUNDS; round++) {
  store = await mkdtemp(join(tmpdir(), 'ladders-'));
  for (const times of [first, kept]) {
    const start = performance.now();
    const { modules } = await loadAdapter(engine, ADAPTER);
    const ms = performance.now() - start;
    if (modules !== 210) throw new Error(`${modules} linears`);
    if (round > 0) times.push(ms); // the first round compiles
    engine.unloadAdapter(ADAPTER);
  }
}
const load = { firstMs: estimate(first), keptMs: estimate(kept) };
console.log(
  `${engine.device}: the first load takes ${format(load.firstMs)} ms, with the ladder kept ${format(load.keptMs)} ms`,
);

for (const name of [ADAPTER, OTHER]) await loadAdapter(engine, name);
/** Milliseconds to the first token of a prompt outside the prefix cache. */
async function ask(name: string, round: number): Promise<number> {
  const options = { maxTokens: 1, sampling: GREEDY, stop: [], adapters: [{ name, scale: 1 }] };
  for await (const event of engine.complete(`${round} ${name}: the sky is blue because`, options)) {
    if (event.type === 'end') return event.report.ttftMs;
  }
  throw new Error('no answer');
}
const swap: number[] = [];
for (let round = 0; round < 4 * ROUNDS; round++) {
  const [before, name] = round % 2 === 0 ? [ADAPTER, OTHER] : [OTHER, ADAPTER];
  await ask(before, 4 * round);
  const swapped = await ask(name, 4 * round + 1);
  const same = await ask(name, 4 * round + 2);
  if (round > 3) swap.push(swapped - same);
}
const swapMs = estimate(swap);
console.log(`a request after one with another adapter takes ${format(swapMs)} ms longer than one after its own`);
await record('adapter-load', engine.device, { rounds: ROUNDS, modules: 210, rank: 16, ...load, swapMs });
process.exit(0);
