const whole = new Intl.NumberFormat('en');

/** Bytes in decimal units, as for disks and downloads. */
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

/** A model's name from its address or file name. */
export function modelName(address: string): string {
  const file =
    address
      .replace(/[?#].*$/, '')
      .split('/')
      .at(-1) ?? '';
  return decoded(file).replace(/(-\d{5}-of-\d{5})?\.gguf$/, '');
}

/** Decodes a part of an address if possible. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
