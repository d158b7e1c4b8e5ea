/**
 * Random concurrent requests, each compared with the same request alone: npm run stress -- ROUNDS [SEED]. Each round
 * prints its seed, which repeats it.
 */
import { lavapipeIcd } from './setup/system.ts';

process.env['VK_ICD_FILENAMES'] ??= lavapipeIcd() ?? ''; // must be set before WebGPU loads
const { Stress } = await import('../tests/stress/stress.ts');

const [rounds = 100, first = Date.now() % 2 ** 31] = process.argv.slice(2).map(Number);
const stress = await Stress.open();
let failed = 0;
for (let seed = first; seed < first + rounds; seed++) {
  const faults = [...(await stress.round(seed)), ...((seed - first) % 20 === 19 ? await stress.memoryFaults() : [])];
  for (const fault of faults) console.log(fault);
  failed += Number(faults.length > 0);
  const done = seed - first + 1;
  if (done % 50 === 0 || done === rounds)
    console.log(`${done} rounds from seed ${first}, ${failed} failed; answers: ${JSON.stringify(stress.outcomes)}`);
}
stress.dispose();
process.exit(failed > 0 ? 1 : 0);
