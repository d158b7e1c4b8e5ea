// Measures the device like the page's "Measure this device": npm run bench -- device [SECONDS [FOLDER]].
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { napping, nodeGpu } from '../tools/instruments/node-gpu.ts';
import { figureRows, issueLink, webgpuBenchRecords } from '../demo/readouts/device-exports.ts';
import { measureDevice } from '../src/measure/measure-device.ts';
import { openInNode } from './support/engine.ts';

const [seconds = '90', folder = join(import.meta.dirname, 'results/devices')] = process.argv.slice(2);

const engine = await openInNode({ contextLength: 8192 }).catch(() => openInNode());
const report = await measureDevice(engine, {
  gpu: nodeGpu(),
  wait: napping,
  host: `Node ${process.version}`,
  budgetMs: 1000 * Number(seconds),
  onProgress: ({ done, what }) => console.log(`  ${Math.round(100 * done)} % ${what}`),
});
engine.dispose();
const text = `${JSON.stringify(report, null, 2)}\n`;
const name = `${report.device.name} in Node`.replace(/[^\w]+/g, '-').toLowerCase();
const boards = join(folder, 'boards');
await mkdir(boards, { recursive: true });
await writeFile(join(folder, `${name}.json`), text);
await writeFile(join(boards, `${name}.webgpu-bench.json`), `${JSON.stringify(webgpuBenchRecords(report), null, 2)}\n`);
await writeFile(join(boards, `${name}.rows.json`), `${JSON.stringify(figureRows(report), null, 2)}\n`);
console.log(text);
console.log(`Send these figures: ${issueLink(report)}`);
process.exit(0);
