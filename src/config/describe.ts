/** A value as an error shows it, behind "but is": of numbers neither an exponent nor Infinity, which not everyone reads. */
export function describe(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'number' && Math.abs(value) >= 1e21)
    return value > 0 ? 'a huge number' : 'a huge negative number';
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  return `of type ${typeof value}`;
}
