import { mkdir, readFile, writeFile } from 'node:fs/promises';

const FOLDER = new URL('../results/', import.meta.url);

const fileOf = (name: string): URL => new URL(`${name}.json`, FOLDER);

/** Content of `bench/results/NAME.json` by device; empty if missing. */
export async function recorded<T extends object>(name: string): Promise<Record<string, T>> {
  return JSON.parse(await readFile(fileOf(name), 'utf8').catch(() => '{}')) as Record<string, T>;
}

/** Writes a device's section of `bench/results/NAME.json`; other devices' sections stay. */
export async function record(name: string, device: string, section: object): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  const known = await recorded(name);
  known[device] = { date: new Date().toISOString().slice(0, 10), ...section };
  await writeFile(fileOf(name), `${JSON.stringify(known, null, 2)}\n`);
}
