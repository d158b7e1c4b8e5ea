import { basename, dirname, join } from 'node:path';
import { type LocalEngine, openEngine } from '../src/engine/open-engine.ts';
import { shardNames } from '../src/weights/gguf-split.ts';
import type { AdapterUse } from '../src/engine/types.ts';
import { FileSource } from './file-source.ts';
import { choiceFlag, numberFlag, required } from './flags.ts';
import { buildLadders } from './ladder-store.ts';
import { openAdapter } from './open-adapter.ts';
import { napping, nodeGpu } from './node-gpu.ts';
import { tuningStore } from './tuning-store.ts';
import { loadXgrammar } from './xgrammar.ts';

/** The files of a model: one, or all parts of a split one, of which `path` names the first. */
export function openSources(path: string): Promise<FileSource[]> {
  return Promise.all(shardNames(basename(path)).map((name) => FileSource.open(join(dirname(path), name))));
}

export interface ModelFlags {
  model?: string;
  /** `DIR|FILE[:scale]` each; several are summed. */
  adapter?: string[];
  lora?: string;
  'gpu-adapter'?: string;
  'context-length'?: string;
  'memory-limit'?: string;
}

/** Opens the model, and the adapters, that the flags name, runs `use`, and closes them again. */
export async function withModel<T>(
  flags: ModelFlags,
  use: (engine: LocalEngine, adapters: readonly AdapterUse[]) => Promise<T>,
  contextLength = numberFlag('context-length', flags['context-length'], 1),
): Promise<T> {
  const sources = await openSources(required('model', flags.model));
  try {
    const memoryLimitBytes = numberFlag('memory-limit', flags['memory-limit']);
    const lora = choiceFlag('lora', flags.lora, ['fused', 'unfused']);
    const gpu = nodeGpu(flags['gpu-adapter']);
    const engine = await openEngine({
      ...{ gpu, sources, contextLength, memoryLimitBytes, wait: napping, loadXgrammar, lora },
      buildLadders: buildLadders(required('model', flags.model)),
      tuning: tuningStore(required('model', flags.model)),
    });
    try {
      return await use(engine, await loadAdapters(engine, flags.adapter ?? []));
    } finally {
      engine.dispose();
    }
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

async function loadAdapters(engine: LocalEngine, flags: readonly string[]): Promise<AdapterUse[]> {
  const uses: AdapterUse[] = [];
  for (const flag of flags) {
    const [, path = '', scale] = /^(.*?)(?::(-?[\d.]+))?$/.exec(flag) ?? [];
    const { source, close } = await openAdapter(path);
    try {
      const { warnings } = await engine.loadAdapter(flag, source);
      for (const warning of warnings) process.stderr.write(`chunkwise: ${path}: ${warning}\n`);
    } finally {
      await close();
    }
    uses.push({ name: flag, scale: scale === undefined ? 1 : Number(scale) });
  }
  return uses;
}
