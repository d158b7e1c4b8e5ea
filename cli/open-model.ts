import { basename, dirname, join } from 'node:path';
import { type LocalEngine, openEngine } from '../src/engine/open-engine.ts';
import { shardNames } from '../src/weights/gguf-split.ts';
import { FileSource } from './file-source.ts';
import { numberFlag, required } from './flags.ts';
import { napping, nodeGpu } from './node-gpu.ts';

/** The files of a model: one, or all parts of a split one, of which `path` names the first. */
export function openSources(path: string): Promise<FileSource[]> {
  return Promise.all(shardNames(basename(path)).map((name) => FileSource.open(join(dirname(path), name))));
}

export interface ModelFlags {
  model?: string;
  'gpu-adapter'?: string;
  'context-length'?: string;
  'memory-limit'?: string;
}

/** Opens the model that the flags name, runs `use`, and closes it again. */
export async function withModel<T>(
  flags: ModelFlags,
  use: (engine: LocalEngine) => Promise<T>,
  contextLength = numberFlag('context-length', flags['context-length'], 1),
): Promise<T> {
  const sources = await openSources(required('model', flags.model));
  try {
    const memoryLimitBytes = numberFlag('memory-limit', flags['memory-limit']);
    const gpu = nodeGpu(flags['gpu-adapter']);
    const engine = await openEngine({ gpu, sources, contextLength, memoryLimitBytes, wait: napping });
    try {
      return await use(engine);
    } finally {
      engine.dispose();
    }
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}
