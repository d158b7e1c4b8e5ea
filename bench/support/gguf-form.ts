import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openAdapter } from '../../src/node/open-adapter.ts';
import { readAdapter } from '../../src/adapters/adapter-file.ts';
import type { LocalEngine } from '../../src/engine/engine.ts';
import { ggufAdapter } from '../../tests/support/models/tiny-adapter.ts';
import { demoAdapter } from './engine.ts';

/** Converts a demonstration adapter as llama.cpp's converter does, in F16, and returns the file's path. */
export async function ggufForm(engine: LocalEngine, name: string): Promise<string> {
  const { config } = (await engine.session()).plan;
  const { source, close } = await openAdapter(demoAdapter(name));
  const { modules, alpha } = await readAdapter(source, { config });
  await close();
  const named = modules.map((module) => ({ ...module, gguf: `${module.name}.weight` }));
  const path = join(await mkdtemp(join(tmpdir(), 'gguf-lora-')), `${name}.gguf`);
  await writeFile(path, ggufAdapter({ config: { lora_alpha: alpha }, modules: named, type: 'F16' }, config));
  return path;
}
