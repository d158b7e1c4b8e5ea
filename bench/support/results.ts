import { mkdir, readFile, writeFile } from 'node:fs/promises';

const FOLDER = new URL('../results/', import.meta.url);

/** Puts a device's section into `bench/results/NAME.json`; the other devices' stay. */
export async function record(name: string, device: string, section: object): Promise<void> {
  const file = new URL(`${name}.json`, FOLDER);
  await mkdir(FOLDER, { recursive: true });
  const known = JSON.parse(await readFile(file, 'utf8').catch(() => '{}')) as Record<string, object>;
  known[device] = { date: new Date().toISOString().slice(0, 10), ...section };
  await writeFile(file, `${JSON.stringify(known, null, 2)}\n`);
}
