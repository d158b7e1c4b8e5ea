import { FileSource } from '../../src/node/file-source.ts';
import { napping, nodeGpu } from '../../tools/instruments/node-gpu.ts';
import { openAdapter } from '../../src/node/open-adapter.ts';
import { openGrammars } from '../../src/grammar/open-grammars.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { openEngine } from '../../src/engine/open-engine.ts';
import type { AdapterInfo, EngineCoreOptions } from '../../src/engine/types.ts';
import { ADAPTERS_HERE } from '../../tests/support/adapters/adapters-here.ts';
import { ensureModel } from '../../tools/setup/fetch-model.ts';

/** Path from the repository's root. */
export const MODEL = 'models/SmolLM2-135M-Instruct.Q4_1.gguf';

let model: Promise<FileSource> | undefined;

/** Opens the default model on Node's first adapter, usually lavapipe. */
export async function openInNode(options: Partial<EngineCoreOptions> = {}): Promise<LocalEngine> {
  const source = await (model ??= ensureModel().then((path) => FileSource.open(path))); // all engines share one open file
  return openEngine({ gpu: nodeGpu(), sources: [source], wait: napping, openGrammars, ...ADAPTERS_HERE, ...options });
}

export const DEMO_ADAPTERS = ['wikitext', 'squad', 'shakespeare'] as const;
export type AdapterName = (typeof DEMO_ADAPTERS)[number];

export const demoAdapter = (name: string): string => `demo/public/adapters/${name}`;

/** Loads a demonstration adapter, or the GGUF file `path`, as `name`. */
export async function loadAdapter(engine: LocalEngine, name: string, path = demoAdapter(name)): Promise<AdapterInfo> {
  const { source, close } = await openAdapter(path);
  try {
    return await engine.loadAdapter(name, source);
  } finally {
    await close();
  }
}
