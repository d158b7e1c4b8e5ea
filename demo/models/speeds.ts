import type { PageStorage } from '../basics/storage.ts';
import { fileOf } from './models.ts';

const KEY = 'speeds';
/** Number of latest answers that count per model. */
const ANSWERS = 5;
/** Shorter answers are dominated by their start. */
const LEAST_TOKENS = 16;

/** Tokens per second of the latest answers of each model on this device. */
export class Speeds {
  /** Speeds by the model's file, latest last. */
  private rates = new Map<string, number[]>();

  constructor(private readonly storage: PageStorage) {}

  async restore(): Promise<void> {
    const kept = await this.storage.get<unknown>(KEY);
    if (isKept(kept)) this.rates = kept; // damaged data are measured again
  }

  async add(model: string, { tokens, tokensPerSecond }: { tokens: number; tokensPerSecond: number }): Promise<void> {
    if (tokens < LEAST_TOKENS || !isRate(tokensPerSecond)) return;
    const file = fileOf(model);
    this.rates.set(file, [...(this.rates.get(file) ?? []), tokensPerSecond].slice(-ANSWERS));
    await this.storage.set(KEY, this.rates);
  }

  /** Median speed; undefined without answers. */
  of(model: string): number | undefined {
    const sorted = [...(this.rates.get(fileOf(model)) ?? [])].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }
}

const isRate = (value: unknown): boolean => Number.isFinite(value) && (value as number) > 0;

function isKept(value: unknown): value is Map<string, number[]> {
  return (
    value instanceof Map &&
    [...value].every(([file, rates]) => typeof file === 'string' && Array.isArray(rates) && rates.every(isRate))
  );
}
