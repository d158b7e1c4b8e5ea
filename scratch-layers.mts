import { openInNode } from './bench/engine.ts';
import { heldOutTokens } from './bench/texts.ts';
import { eachLogits } from './src/engine/evaluate.ts';
import { divergenceOf } from './src/engine/divergence.ts';
import { fixedForm, type CachePolicy } from './src/cache/policy.ts';
const C = 1024;
const engine = await openInNode({ contextLength: C });
const tokens = (await heldOutTokens(engine, 'wikitext', C)).slice(0, C);
async function logits(policy?: CachePolicy) {
  const rows: Float32Array[] = [];
  const r = await engine.alone((s) => eachLogits(s, tokens, (start, length, l) => { if (start >= 512) rows.push(l.slice()); }, undefined, policy));
  return { rows, kv: r.kv };
}
const dense = await logits();
const width = dense.rows[0]!.length / 256;
async function kl(policy: CachePolicy) {
  const { rows } = await logits(policy);
  let sum = 0, n = 0;
  rows.forEach((r, b) => { for (let i = 0; i < r.length / width; i += 2) { sum += divergenceOf(dense.rows[b]!.subarray(i * width, (i + 1) * width), r.subarray(i * width, (i + 1) * width)).kl; n++; } });
  return sum / n;
}
const only = (p: CachePolicy, f: (l: number) => boolean): CachePolicy => ({ key: 'x', changes: (v) => p.changes(v).filter((c) => f(c.layer)) });
const log = (...a: any[]) => console.log(...a);
for (const [name, p] of [['q4', fixedForm('q4')], ['k4v2', fixedForm('k4v2')], ['drop', fixedForm('sparse', 0)]] as const) log('all', name, await kl(p));
for (let l = 0; l < engine['session']?.plan?.config?.numLayers || l < 30; l++) {
  log(l, 'k4v2', (await kl(only(fixedForm('k4v2'), (x) => x === l))).toExponential(3), 'drop', (await kl(only(fixedForm('sparse', 0), (x) => x === l))).toExponential(3));
}
process.exit(0);
