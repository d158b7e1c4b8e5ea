// How well each complexity estimator predicts a demonstration adapter's effect on text it was not trained on.
import { estimators } from '../../cli/evaluations/estimator.ts';
import { formatEstimate } from '../../cli/statistics.ts';
import { DEMO_ADAPTERS, loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const TOKENS = 4096;
const WINDOW = 1024;

const engine = await openInNode();
const results: Record<string, object> = {};
for (const name of DEMO_ADAPTERS) {
  await loadAdapter(engine, name);
  const tokens = await heldOutTokens(engine, name, TOKENS);
  const found = await estimators(engine, [{ name, scale: 1 }], tokens, WINDOW);
  console.log(`${name}: ${found.tokens} tokens, mean KL ${found.meanKl.toFixed(4)} nats`);
  for (const [estimator, value] of Object.entries(found.spearman))
    console.log(`  ${estimator}: ${formatEstimate(value)}`);
  results[name] = found;
  engine.unloadAdapter(name);
}
await record('estimators', engine.device, results);
process.exit(0);
