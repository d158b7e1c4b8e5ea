// The device as the page's "Measure this device" measures it: npm run bench -- device [SECONDS [FOLDER]].
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { napping, nodeGpu } from '../cli/node-gpu.ts';
import { measureDevice } from '../src/measure/device/measure-device.ts';
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
await mkdir(folder, { recursive: true });
await writeFile(join(folder, `${name}.json`), text);
console.log(text);
process.exit(0);
