import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { browserOf, figureRows, issueLink, webgpuBenchRecords } from '../../demo/readouts/device-exports.ts';
import { deviceReports, deviceTable } from '../../bench/support/device-table.ts';
import { DEVICE_REPORT_VERSION, type DeviceReport } from '../../src/measure/device-report.ts';

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

it('the README has the table of measured devices, or says that there is none', () => {
  const reports = deviceReports();
  for (const { format, version } of reports)
    expect([format, version]).toEqual(['chunkwise-device', DEVICE_REPORT_VERSION]);
  expect(README).toContain(reports.length === 0 ? NONE : deviceTable(reports));
  expect(README.includes(NONE)).toBe(reports.length === 0);
});

it('a row has the fastest read, the speeds and their shares of the ceilings', () => {
  expect(deviceTable([REPORT]).split('\n').at(-1)).toBe(
    '| acme 9000, Chrome 143 | 412 GB/s | m | 200 tok/s (61 %) | not measured |',
  );
  expect(browserOf('Node v20.19.0')).toBe('Node v20.19.0');
});

it('a row has the speeds of a device, a browser and a model, and null for what was not measured', () => {
  expect(figureRows(REPORT)).toEqual([
    {
      ...{ runtime: 'chunkwise', date: '2026-01-02', device: 'acme 9000', browser: 'Chrome 143', platform: 'linux' },
      ...{ model: 'm', weightBytes: 1e8, context: 256, adapter: 'none' },
      ...{ decodeTokensPerSecond: 200, prefillTokensPerSecond: null, firstTokenMs: 31 },
    },
  ]);
});

it('a record for webgpu-bench has the tests that were measured, of the loaded model only', () => {
  const random = { ...REPORT.models[0]!, name: 'random weights' };
  const model = { ...REPORT.models[0]!, name: 'SmolLM2-135M-Instruct.Q4_1' };
  const [record, ...others] = webgpuBenchRecords({ ...REPORT, models: [model, random] });
  expect(others).toEqual([]);
  expect(record).toMatchObject({
    machine: { slug: 'acme-9000-linux', cpus: 'acme 9000', platform: 'linux' },
    ...{ timestamp: '2026-01-02T00:00:00.000Z', browser: 'chromium', variant: 'Q4_1', sizeMB: 95, status: 'done' },
    metrics: {
      ...{ prefill_tok_s: null, decode_tok_s: 200 },
      tests: [{ name: 'tg32', n_prompt: 0, n_gen: 32, avg_ts: 200, avg_ns: 160e6 }],
    },
  });
  const speeds = [{ ...model.speeds[0]!, decode: missing }];
  expect(webgpuBenchRecords({ ...REPORT, models: [{ ...model, speeds }] })).toMatchObject([
    { status: 'error', error: 'no time was left', metrics: { tests: [] } },
  ]);
});

it('a link opens an issue whose form is filled in, with as many figures as an address may have', () => {
  const form = readFileSync(join(import.meta.dirname, '../../.github/ISSUE_TEMPLATE/device.yml'), 'utf8');
  const read = (report: DeviceReport) => {
    const url = new URL(issueLink(report));
    expect(url.href.length).toBeLessThanOrEqual(8000);
    const fields = Object.fromEntries(url.searchParams);
    // The form has these fields.
    for (const id of Object.keys(fields))
      if (!['template', 'title'].includes(id)) expect(form).toContain(`id: ${id}\n`);
    return { ...fields, report: JSON.parse(fields['report'] ?? '') as unknown };
  };
  expect(read(REPORT)).toEqual({
    ...{ template: 'device.yml', title: 'Device: acme 9000', gpu: 'acme 9000', browser: REPORT.host, report: REPORT },
  });
  const name = 'ж & # "'.repeat(100);
  const [model] = REPORT.models;
  const long = { ...REPORT, host: name, variant: { name: 'a'.repeat(7000) } };
  expect(read(long).report).toEqual(figureRows(long));
  const longer = { ...REPORT, models: Array.from({ length: 60 }, () => model!) };
  const some = read(longer).report as unknown[];
  expect(some.length).toBeGreaterThan(5);
  expect(some).toEqual(figureRows(longer).slice(0, some.length));
});
