import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';

/** Fills a missing folder completely or not at all; several processes may do so at once. */
export function ensureFolder(folder: string, fill: (folder: string) => void): void {
  if (existsSync(folder)) return;
  const part = `${folder}.${process.pid}`;
  mkdirSync(part, { recursive: true });
  fill(part);
  if (existsSync(folder))
    rmSync(part, { recursive: true }); // another process was faster
  else renameSync(part, folder);
}
