import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { browserOf } from '../../demo/readouts/device-exports.ts';
import type { DecodeSpeed, DeviceReport, Figure, PrefillSpeed } from '../../src/measure/device-report.ts';

const FOLDER = join(import.meta.dirname, '../results/devices');

/** Files of bench/results/devices, one per device. */
export function deviceReports(folder = FOLDER): DeviceReport[] {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return files.sort().map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as DeviceReport);
}

/** The README's device table: decode at 256 tokens, total, and prefill of each model. */
export function deviceTable(reports: readonly DeviceReport[]): string {
  const lines = reports.flatMap(({ device, host, ceilings, models }) =>
    models.map(({ name, speeds }) => {
      const [at256] = speeds.filter(({ adapter }) => !adapter);
      const reads = [ceilings.readGbPerSecond, ceilings.readInRunsGbPerSecond, ceilings.copyGbPerSecond].filter(
        (figure) => typeof figure === 'number',
      );
      const cells = [
        `${device.name}, ${browserOf(host)}`,
        reads.length > 0 ? `${round(Math.max(...reads))} GB/s` : 'not measured',
        name,
        speedOf(at256?.decode && 'tokensPerSecond' in at256.decode ? at256.decode : undefined),
        speedOf(at256?.prefill && 'tokensPerSecond' in at256.prefill ? at256.prefill : undefined),
      ];
      return `| ${cells.join(' | ')} |`;
    }),
  );
  return ['| device | memory | model | decode | prefill |', '|---|---|---|---|---|', ...lines].join('\n');
}

const speedOf = (speed: DecodeSpeed | PrefillSpeed | undefined): string =>
  speed
    ? `${round(speed.tokensPerSecond)} tok/s (${percent('fractionOfMemory' in speed ? speed.fractionOfMemory : speed.fractionOfCompute)})`
    : 'not measured';

const percent = (fraction: number | null): string => (fraction === null ? '–' : `${Math.round(100 * fraction)} %`);

const round = (figure: Exclude<Figure, object>): string =>
  String(figure < 100 ? Number(figure.toPrecision(2)) : Math.round(figure));
