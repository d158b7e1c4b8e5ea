import { basename, dirname, join } from 'node:path';
import { access } from 'node:fs/promises';
import { INSPECT_FLAGS } from '../command-flags.ts';
import { parseFlags, positional } from '../flags.ts';
import { inspectAdapter } from '../inspections/adapter.ts';
import { inspectModel, isAdapter } from '../inspections/model.ts';
import { isDirectory } from '../../src/node/model-files.ts';
import type { Output } from '../output.ts';

/**
 * `inspect PATH`: a model's or an adapter's metadata and tensors, and whether it runs here: `supported`, and if not the
 * `reason`. Accepts any well-formed GGUF file, and a folder of safetensors or one of its files; for an adapter (a PEFT
 * folder or a GGUF file) it adds modules and their singular values. Needs no GPU and ignores memory.
 */
export async function inspect(args: string[]): Promise<Output> {
  const { positionals } = parseFlags(args, INSPECT_FLAGS, true);
  const path = positional('PATH', positionals);
  if (await isPeft(path)) return inspectAdapter(path);
  const model = await inspectModel(path);
  if (!isAdapter(model.json)) return model;
  const adapter = await inspectAdapter(path);
  return { json: { ...model.json, ...adapter.json }, text: `${model.text}\n${adapter.text}` };
}

/** Whether a path is a PEFT folder or one of its files. */
async function isPeft(path: string): Promise<boolean> {
  const name = basename(path);
  if (/^adapter_(config\.json|model\.safetensors)$/.test(name)) return true;
  const isFolder = await isDirectory(path);
  const folder = isFolder ? path : dirname(path);
  if (!isFolder && !name.endsWith('.safetensors')) return false;
  return (await exists(join(folder, 'adapter_config.json'))) && !(await exists(join(folder, 'config.json')));
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
