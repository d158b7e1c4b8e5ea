import { isRecord } from '../config/is-record.ts';
import type { DeviceEvent } from '../measure/device/device-events.ts';
import { checkFunction, checkNumber, checkSignal, checked, describe, refuse } from './checks.ts';
import type { DeviceReport, MeasureDeviceOptions } from './types.ts';
import type { EngineClient } from './engine-client.ts';

/** See `Engine.measureDevice`. */
export async function measureDevice(client: EngineClient, options: unknown): Promise<DeviceReport> {
  const { budgetMs, onProgress, signal } = checked('options', () => parseMeasureOptions(options));
  const events = client.stream<DeviceEvent>((calls, port) => calls.measureDevice(port, { budgetMs }), signal);
  for await (const event of events) {
    if (event.type === 'report') return event.report;
    onProgress?.({ done: event.done, what: event.what });
  }
  throw new Error('the worker gave no report');
}

function parseMeasureOptions(options: unknown) {
  if (options === undefined || options === null) return {};
  if (!isRecord(options)) refuse('options', `must be an object, but is ${describe(options)}`);
  const { budgetMs, onProgress, signal } = options;
  return {
    budgetMs: budgetMs === undefined ? undefined : checkNumber(budgetMs, 'budgetMs', 0, 3_600_000),
    onProgress: checkFunction(onProgress as MeasureDeviceOptions['onProgress'], 'onProgress'),
    signal: checkSignal(signal),
  };
}
