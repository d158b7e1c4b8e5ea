import { mkdir, readFile, writeFile } from 'node:fs/promises';

const FOLDER = new URL('../results/', import.meta.url);

const fileOf = (name: string): URL => new URL(`${name}.json`, FOLDER);

/** What `bench/results/NAME.json` has, by device; nothing where it is not there. */
export async function recorded<T extends object>(name: string): Promise<Record<string, T>> {
  return JSON.parse(await readFile(fileOf(name), 'utf8').catch(() => '{}')) as Record<string, T>;
}

/** Puts a device's section into `bench/results/NAME.json`; the other devices' stay. */
export async function record(name: string, device: string, section: object): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const known = await recorded(name);
  known[device] = { date: new Date().toISOString().slice(0, 10), ...section };
  await writeFile(fileOf(name), `${JSON.stringify(known, null, 2)}\n`);
}
