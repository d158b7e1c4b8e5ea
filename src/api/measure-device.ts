import { checkFunction, checkNumber, checkSignal, checked, checkRecord, optional } from './checks.ts';
import type { DeviceReport, DeviceProgress } from '../measure/device-report.ts';
import type { RemoteEngine } from '../../workers/protocol.ts';

export interface MeasureDeviceOptions {
  /** Milliseconds that the measurement may take. Parts that do not fit are left out, and the report names them. Default: 90,000. */
  budgetMs?: number;
  /** Called with what is being measured. Default: none. */
  onProgress?: (progress: DeviceProgress) => void;
  /** Ends the measurement with `aborted`. Default: none. */
  signal?: AbortSignal;
}

const MOST_BUDGET_MS = 3_600_000;

/** See `Engine.measureDevice`. */
export async function measureDevice(
  engine: Pick<RemoteEngine, 'measureDevice'>,
  options: unknown,
): Promise<DeviceReport> {
  const { budgetMs, onProgress, signal } = checked('options', () => parseMeasureOptions(options));
  for await (const event of engine.measureDevice({ budgetMs, signal })) {
    if (event.type === 'report') return event.report;
    onProgress?.({ done: event.done, what: event.what });
  }
  throw new Error('the worker gave no report');
}

function parseMeasureOptions(options: unknown) {
  const { budgetMs, onProgress, signal } = optional(options, 'options', checkRecord) ?? {};
  return {
    budgetMs: budgetMs === undefined ? undefined : checkNumber(budgetMs, 'budgetMs', 0, MOST_BUDGET_MS),
    onProgress: checkFunction(onProgress as MeasureDeviceOptions['onProgress'], 'onProgress'),
    signal: checkSignal(signal),
  };
}
