import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The folder of the evaluation texts, which are not in the repository. */
export const DATA = process.env.CHUNKWISE_DATA ?? '../shared/data';

/** Ends the process where there is none. */
async function read(...path: string[]): Promise<string> {
  const file = join(DATA, ...path);
  return readFile(file, 'utf8').catch(() => {
    console.error(`No ${file}: set CHUNKWISE_DATA to the folder of the evaluation texts.`);
    return process.exit(1);
  });
}

/** Text that the demonstration's adapter of this name was not trained on; see tools/train. */
export async function heldOut(adapter: 'wikitext' | 'shakespeare'): Promise<string> {
  if (adapter === 'wikitext') return read('wikitext-2', 'test.txt');
  const text = await read('tinyshakespeare', 'train.txt');
  return text.slice(Math.floor((text.length * 9) / 10));
}

export const SQUAD_FILE = join(DATA, 'squad', 'squad-dev-subset.json');
