import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename } from 'node:path';

const INTERVAL_MS = 500;

/** Watches the memory of all processes of a browser started by this one; shared pages count once. Linux. */
export function watchBrowserMemory(): { stop(): Promise<number> } {
  let peak = 0;
  let isStopped = false;
  const watching = (async () => {
    while (!isStopped) {
      peak = Math.max(peak, await browserBytes());
      await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    }
  })();
  return {
    stop: async () => {
      isStopped = true;
      await watching;
      return peak;
    },
  };
}

async function browserBytes(): Promise<number> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const parents = new Map(await Promise.all(pids.map(async (pid) => [pid, await parentOf(pid)] as const)));
  const isOurs = (pid: string | undefined): boolean =>
    pid !== undefined && (pid === String(process.pid) || isOurs(parents.get(pid)));
  const sizes = await Promise.all(
    pids.filter((pid) => isOurs(pid)).map(async (pid) => ((await isBrowser(pid)) ? sharedOutBytes(pid) : 0)),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

const parentOf = async (pid: string): Promise<string | undefined> =>
  /^PPid:\s*(\d+)/m.exec(await readFile(`/proc/${pid}/status`, 'utf8').catch(() => ''))?.[1];

const isBrowser = async (pid: string): Promise<boolean> =>
  basename(await readlink(`/proc/${pid}/exe`).catch(() => '')).startsWith('chrom');

/** Proportional set size of a process. */
async function sharedOutBytes(pid: string): Promise<number> {
  const [, kilobytes = 0] =
    /^Pss:\s*(\d+) kB/m.exec(await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '')) ?? [];
  return 1024 * Number(kilobytes);
}
