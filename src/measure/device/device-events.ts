import type { LocalEngine } from '../../engine/open-engine.ts';
import type { DeviceProgress, DeviceReport } from './device-report.ts';
import { type DeviceMeasureOptions, measureDevice } from './measure-device.ts';

export type DeviceEvent = ({ type: 'progress' } & DeviceProgress) | { type: 'report'; report: DeviceReport };

/** How far `measureDevice` is, and at last what it found. Errors: those of `measureDevice`. */
export async function* deviceEvents(
  engine: LocalEngine,
  options: Omit<DeviceMeasureOptions, 'onProgress'>,
): AsyncGenerator<DeviceEvent, void> {
  const events: DeviceEvent[] = [];
  let wake = (): void => undefined;
  const tell = (event: DeviceEvent): void => {
    events.push(event);
    wake();
  };
  let isDone = false;
  const measured = measureDevice(engine, {
    ...options,
    onProgress: (progress) => tell({ type: 'progress', ...progress }),
  })
    .then((report) => tell({ type: 'report', report }))
    .finally(() => {
      isDone = true;
      wake();
    });
  measured.catch(() => undefined); // it is thrown below
  while (!isDone || events.length > 0) {
    const event = events.shift();
    if (event) yield event;
    else await new Promise<void>((resolve) => (wake = resolve));
  }
  await measured;
}
