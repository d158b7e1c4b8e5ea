/**
 * Mutated inputs of every kind, or of one: npm run fuzz -- COUNT [SEED] [KIND] [FIRST]
 * A failure names its seed, kind and number: with COUNT 1 and FIRST the number, it runs alone.
 */
import { Fuzzer } from './fuzz.ts';
import { KINDS } from './kinds.ts';

const [count = 1000, seed = Date.now() % 1_000_000] = process.argv.slice(2, 4).map(Number);
const [kind, first = '0'] = process.argv.slice(4);
const names = kind === undefined ? Object.keys(KINDS).filter((name) => name !== 'selfCheck') : [kind];

const fuzzer = new Fuzzer();
let failed = 0;
console.log(`seed ${seed}, ${count} of each kind`);
for (const name of names) {
  const start = performance.now();
  const { cases, refused, failures, cpuMs, bytes } = await fuzzer.run(name, { count, seed, first: Number(first) });
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  console.log(
    `${name}: ${cases} cases, ${refused} refused, ${failures.length} failed; at most ${cpuMs.toFixed(0)} ms and ${(bytes / 2 ** 20).toFixed(1)} MiB; ${seconds} s`,
  );
  for (const { index, what, failure } of failures)
    console.log(`  ${name} ${index} of seed ${seed}, ${what}\n    ${failure.replaceAll('\n', '\n    ')}`);
  failed += failures.length;
}
fuzzer.close();
process.exitCode = failed > 0 ? 1 : 0;
