// Whether the model finds a fact at ten depths of 4,096 tokens after a change of topic, with the default cache policy
// and with f16 pages.
import { lineOf, retrieval, retrievalCases, summaryOf } from '../../cli/evaluations/retrieval.ts';
import { openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const CONTEXT = Number(process.env.CHUNKWISE_CONTEXT ?? 4096);
const DEPTHS = Number(process.env.CHUNKWISE_DEPTHS ?? 10);

const engine = await openInNode({ contextLength: CONTEXT });
const filler = await heldOutTokens(engine, 'wikitext', DEPTHS * CONTEXT);
const cases = await retrievalCases(engine, filler, CONTEXT, DEPTHS);
const found = await retrieval(engine, cases, { kv: 'policy' }, { progress: (result) => console.log(lineOf(result)) });
console.log(summaryOf(found));
await record(`retrieval-${CONTEXT}`, engine.device, { context: CONTEXT, ...found });
process.exit(0);
