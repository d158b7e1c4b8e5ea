import type { LoadProgress } from '../src/engine/types.ts';

/** Bytes a second are those of this long. */
const WINDOW_MS = 3000;

/** Adds to each event how fast its phase goes and how long it will still take, once that can be told. */
export function withRate(
  onProgress: (progress: LoadProgress) => void,
  now: () => number = () => performance.now(),
): (progress: LoadProgress) => void {
  let phase: LoadProgress['phase'] | undefined;
  let seen: { at: number; bytes: number }[] = [];
  return (progress) => {
    if (progress.phase !== phase) seen = [];
    phase = progress.phase;
    const at = now();
    seen.push({ at, bytes: progress.bytes });
    // The last one before the window is where it begins.
    while (seen[1] && at - seen[1].at > WINDOW_MS) seen.shift();
    const [first] = seen;
    const rate = first && at > first.at ? ((progress.bytes - first.bytes) / (at - first.at)) * 1000 : 0;
    const timeLeft = (progress.total - progress.bytes) / rate;
    onProgress(rate > 0 ? { ...progress, rate, timeLeft } : progress);
  };
}
