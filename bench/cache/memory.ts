// GPU memory with an adapter of rank 16 on all linears: ranks by chunk and the default cache policy, against uniform
// ranks and the dense cache, with a full context. It measures live bytes, not time, so any device works.
import type { KvOptions } from '../../src/cache/policy.ts';
import type { MemoryReport } from '../../src/gpu/buffers.ts';
import type { RankOptions } from '../../src/engine/types.ts';
import { type Continued, elementsOf, goOn, pageBytes } from '../support/answers.ts';
import { loadAdapter, openInNode } from '../support/engine.ts';
import { record } from '../support/results.ts';
import { heldOutTokens } from '../support/texts.ts';

const CONTEXTS = (process.env.CHUNKWISE_CONTEXTS ?? '4096,8192').split(',').map(Number);
const ADAPTER = 'wikitext';
/** The context's last tokens are decoded, by which time page trials of the prompt are settled. */
const DECODED = 8;
/** Shares of the uniform form's bytes; the paper claims up to the second. */
const SAVINGS = [0.3, 0.38];

interface Filled extends Continued {
  /** Elements of keys and values of the tokens in the cache. */
  elements: number;
}

let device = '';

/** Memory with a text of `context` tokens in the cache. */
async function filled(context: number, options: RankOptions & KvOptions): Promise<Filled> {
  const engine = await openInNode({ contextLength: context });
  ({ device } = engine);
  await loadAdapter(engine, ADAPTER);
  // Tokenization may split a token in two, so some room is left.
  const prompt = engine.tokenizer.decode(await heldOutTokens(engine, ADAPTER, context - 2 * DECODED));
  try {
    const continued = await goOn(engine, prompt, DECODED, { adapters: [{ name: ADAPTER, scale: 1 }], ...options });
    return { ...continued, elements: await elementsOf(engine, continued.tokens) };
  } finally {
    engine.dispose();
  }
}

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const breakdown = (memory: MemoryReport): string =>
  Object.entries(memory)
    .map(([name, bytes]) => `${name} ${megabytes(bytes)}`)
    .join(', ');

/** Allowed size of pages for a total reduction by `saving`: in bytes, and in bits per element. */
function needed(saving: number, uniform: Filled, chunkwise: Filled) {
  const pages = (1 - saving) * uniform.memory.total - (chunkwise.memory.total - pageBytes(chunkwise.report.kv));
  return { saving, pages, bitsPerElement: bitsOf(pages, chunkwise) };
}

const bitsOf = (bytes: number, { elements }: Filled): number => (8 * bytes) / elements;

const results: object[] = [];
for (const context of CONTEXTS) {
  const uniform = await filled(context, { ranks: 'uniform', kv: 'dense' });
  const chunkwise = await filled(context, { kv: 'policy' });
  const saving = 1 - chunkwise.memory.total / uniform.memory.total;
  const peakSaving = 1 - chunkwise.peak.total / uniform.peak.total;
  const bitsPerElement = bitsOf(pageBytes(chunkwise.report.kv), chunkwise);
  const mostSaved = 1 - (chunkwise.memory.total - pageBytes(chunkwise.report.kv)) / uniform.memory.total;
  const wanted = SAVINGS.map((each) => needed(each, uniform, chunkwise));
  console.log(`context ${context}: ${percent(saving)} fewer bytes, at the peak ${percent(peakSaving)}`);
  for (const [name, each] of Object.entries({ uniform, chunkwise })) {
    const { tokens, memory, peak } = each;
    console.log(
      `  ${name}, ${tokens} tokens: ${breakdown(memory)}, pages ${megabytes(pageBytes(each.report.kv))}; at most ${megabytes(peak.total)}`,
    );
  }
  console.log(
    `  pages have ${bitsPerElement.toFixed(2)} bits an element; without any it were ${percent(mostSaved)} fewer bytes`,
  );
  for (const { saving, pages, bitsPerElement } of wanted) {
    const pagesTold = `pages of ${megabytes(pages)}, ${bitsPerElement.toFixed(2)} bits an element`;
    console.log(
      `  ${percent(saving)} fewer take ${pages > 0 ? pagesTold : 'smaller weights: no cache is small enough'}`,
    );
  }
  results.push({ context, saving, peakSaving, bitsPerElement, mostSaved, wanted, uniform, chunkwise });
}
await record('memory', device, { adapter: ADAPTER, results });
process.exit(0);
