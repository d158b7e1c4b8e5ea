/** Ends a stream of text before the first stop string, holding back what may become one. */
export class StopStrings {
  private readonly stops: readonly string[];
  private held = '';
  private stopped = false;

  /** Empty strings among `stops` are ignored. */
  constructor(stops: readonly string[]) {
    this.stops = stops.filter((stop) => stop !== '');
  }

  /** `text` that can be shown now; `stopped` once a stop string was completed, after which nothing more comes. */
  push(text: string): { text: string; stopped: boolean } {
    if (this.stopped) return { text: '', stopped: true };
    const pending = this.held + text;
    const found = this.stops.map((stop) => pending.indexOf(stop)).filter((at) => at >= 0);
    if (found.length > 0) {
      this.stopped = true;
      this.held = '';
      return { text: pending.slice(0, Math.min(...found)), stopped: true };
    }
    const keep = this.longestBegun(pending);
    this.held = pending.slice(pending.length - keep);
    return { text: pending.slice(0, pending.length - keep), stopped: false };
  }

  /** What was held back when the text ended without a stop string. */
  flush(): string {
    const text = this.held;
    this.held = '';
    return text;
  }

  /** Length of the longest end of `text` with which a stop string begins. */
  private longestBegun(text: string): number {
    let longest = 0;
    for (const stop of this.stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > longest; length--) {
        if (text.endsWith(stop.slice(0, length))) longest = length;
      }
    }
    return longest;
  }
}
