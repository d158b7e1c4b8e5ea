const TTY_INTERVAL_MS = 100;
const PLAIN_STEP = 0.1;
const BAR_WIDTH = 30;

/** Shows a download's progress: a redrawn bar on a terminal, a line per tenth elsewhere. */
export function progressReporter(label: string): (bytes: number, totalBytes: number | undefined) => void {
  let lastSampled = 0;
  let nextStep = PLAIN_STEP;
  return (bytes, totalBytes) => {
    if (totalBytes === undefined || totalBytes === 0) return;
    const done = bytes / totalBytes;
    const text = `${label} ${Math.floor(done * 100)} % of ${(totalBytes / 1e6).toFixed(1)} MB`;
    if (!process.stdout.isTTY) {
      if (done < nextStep) return;
      while (nextStep <= done) nextStep += PLAIN_STEP;
      console.log(text);
      return;
    }
    const now = performance.now();
    if (done < 1 && now - lastSampled < TTY_INTERVAL_MS) return;
    lastSampled = now;
    const filled = Math.round(done * BAR_WIDTH);
    process.stdout.write(`\r[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${text}${done < 1 ? '' : '\n'}`);
  };
}
