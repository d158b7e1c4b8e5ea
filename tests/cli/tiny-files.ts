import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openGguf } from '../../src/weights/gguf/gguf-split.ts';
import { readModelConfig } from '../../src/weights/model-config.ts';
import { peftWeights, tinyAdapter } from '../support/models/tiny-adapter.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { tinyModel } from '../support/models/tiny-model.ts';

/** A folder with a tiny model, an adapter for it and the given files, until the test ends. */
export async function tinyFiles(texts: Readonly<Record<string, string>>) {
  const folder = mkdtempSync(join(tmpdir(), 'chunkwise-cli-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);
  const bytes = tinyModel({ architecture: 'llama', type: 'F32', seed: 71, contextLength: 1024 });
  const config = readModelConfig(await openGguf([new BytesSource('tiny.gguf', bytes)]));
  const adapter = tinyAdapter(config, {
    seed: 72,
    rank: 12,
    gain: 0.1,
    config: { base_model_name_or_path: 'tiny-llama' },
  });
  writeFileSync(at('model.gguf'), bytes);
  mkdirSync(at('adapter'));
  writeFileSync(at('adapter/adapter_config.json'), JSON.stringify(adapter.config));
  writeFileSync(at('adapter/adapter_model.safetensors'), peftWeights(adapter));
  for (const [name, text] of Object.entries(texts)) writeFileSync(at(name), text);
  return { at, flags: ['--model', at('model.gguf'), '--adapter', at('adapter'), '--json'] };
}
