const whole = new Intl.NumberFormat('en');

/** Bytes in decimal units, as disks and downloads are told. */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) return `${(bytes / 1e9).toFixed(2)} GB`;
  if (bytes >= 1e6) return `${(bytes / 1e6).toFixed(1)} MB`;
  return bytes === 0 ? '0 MB' : `${(bytes / 1e3).toFixed(1)} kB`;
}

export function formatMs(ms: number): string {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

export function formatRate(perSecond: number): string {
  return `${perSecond < 100 ? perSecond.toFixed(1) : Math.round(perSecond)} tokens/s`;
}

export function formatCount(count: number): string {
  return whole.format(count);
}

export function formatRank(rank: number): string {
  return String(Number(rank.toFixed(1)));
}

/** What a model's address or file name says about it. */
export function modelName(address: string): string {
  const file =
    address
      .replace(/[?#].*$/, '')
      .split('/')
      .at(-1) ?? '';
  return decoded(file).replace(/(-\d{5}-of-\d{5})?\.gguf$/, '');
}

/** A part of an address as it is read, where it can be. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
