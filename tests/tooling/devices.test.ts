import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { browserOf, deviceReports, deviceTable } from '../../bench/support/device-table.ts';
import { DEVICE_REPORT_VERSION, type DeviceReport } from '../../src/measure/device/device-report.ts';

const README = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8');
const NONE = 'No device has been measured yet.';

const missing = { notMeasured: 'no time was left' };
const REPORT: DeviceReport = {
  ...{ format: 'chunkwise-device', version: 1, date: '2026-01-02', budgetMs: 90_000, tookMs: 80_000, variant: {} },
  host: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36',
  device: {
    name: 'acme 9000',
    class: 'gpu',
    features: ['shader-f16'],
    maxBufferBytes: 1 << 30,
    maxBindingBytes: 1 << 30,
  },
  ceilings: {
    readGbPerSecond: 412.4,
    readInRunsGbPerSecond: 98,
    copyGbPerSecond: missing,
    f32GflopPerSecond: 9000,
    f16GflopPerSecond: missing,
  },
  latency: { readbackMs: 0.5, newKernelMs: 20, modelPipelinesMs: 900, modelPipelines: 30 },
  models: [
    {
      ...{ name: 'm', weightBytes: 1e8, contextLength: 4096, promptTokens: 256, firstTokenMs: 31 },
      speeds: [
        {
          ...{ context: 256, adapter: false },
          decode: { msPerToken: 5, msPerTokenP95: 6, tokensPerSecond: 200, steps: 32, fractionOfMemory: 0.614 },
          prefill: missing,
        },
      ],
    },
  ],
};

it('the README has the table of the devices that were measured, or says that there is none', () => {
  const reports = deviceReports();
  for (const { format, version } of reports)
    expect([format, version]).toEqual(['chunkwise-device', DEVICE_REPORT_VERSION]);
  expect(README).toContain(reports.length === 0 ? NONE : deviceTable(reports));
  expect(README.includes(NONE)).toBe(reports.length === 0);
});

it('a row has the fastest reading, the speeds and how much of the ceilings they reach', () => {
  expect(deviceTable([REPORT]).split('\n').at(-1)).toBe(
    '| acme 9000, Chrome 143 | 412 GB/s | m | 200 tok/s (61 %) | not measured |',
  );
  expect(browserOf('Node v20.19.0')).toBe('Node v20.19.0');
});
