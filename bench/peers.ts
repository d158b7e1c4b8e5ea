// Chunkwise against other runtimes with the same model file and the same questions: in Node on lavapipe against
// llama.cpp's
// Vulkan and CPU builds, and in Chromium on lavapipe against wllama, transformers.js and web-llm; each also with an
// adapter.
// Needs `npm run build`. `short`: the ratios that a test repeats; `draw`: only the tables, from recorded results.
// CHUNKWISE_CONTEXTS, _STEPS, _ROUNDS: smaller counts; CHUNKWISE_PEERS: runtimes whose names contain it, such as
// `wllama`.
import { openInNode } from './support/engine.ts';
import { ggufForm } from './support/gguf-form.ts';
import { BROWSER_PEERS, inChromium } from './support/peers/browser-peers.ts';
import { draw } from './support/peers/draw.ts';
import { chunkwiseInNode, llamaInNode } from './support/peers/node-peers.ts';
import { measureRounds } from './support/peers/rounds.ts';
import { keepFull, keepShort } from './support/peers/sections.ts';
import { measureShort } from './support/peers/short.ts';

const {
  CHUNKWISE_CONTEXTS = '256,2048',
  CHUNKWISE_STEPS = '16',
  CHUNKWISE_ROUNDS = '3',
  CHUNKWISE_PEERS = '',
} = process.env;

async function measureAll(): Promise<void> {
  const contexts = CHUNKWISE_CONTEXTS.split(',').map(Number);
  const settings = { contexts, steps: Number(CHUNKWISE_STEPS), rounds: Number(CHUNKWISE_ROUNDS) };
  const contextLength = Math.max(...contexts) + settings.steps + 64; // equal for all runtimes
  const engine = await openInNode({ contextLength: 256 });
  const { device } = engine;
  const gguf = await ggufForm(engine, 'wikitext');
  engine.dispose();
  const peers = [undefined, gguf].flatMap((adapter) => [
    chunkwiseInNode(contextLength, adapter !== undefined),
    llamaInNode('vulkan', adapter === undefined ? undefined : { path: adapter }),
    llamaInNode(false, adapter === undefined ? undefined : { path: adapter }),
    ...BROWSER_PEERS.filter(({ takesAdapters }) => takesAdapters || adapter === undefined).map((peer) =>
      inChromium(peer, contextLength, adapter),
    ),
  ]);
  const reference = (adapted: boolean) => llamaInNode(false, adapted ? { path: gguf } : undefined);
  const found = await measureRounds(
    peers.filter(({ name }) => name.includes(CHUNKWISE_PEERS)),
    reference,
    settings,
  );
  await keepFull(device, { ...settings, peers: found });
}

const [argument] = process.argv.slice(2);
if (argument === 'short') {
  const figures = await measureShort();
  console.log(figures);
  await keepShort(figures);
} else if (argument !== 'draw') await measureAll();
await draw();
process.exit(0);
