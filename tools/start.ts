/** npm start: downloads the model if missing and serves the demo page. */
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';
import { ensureModel } from './setup/fetch-model.ts';

await ensureModel();
const server = await createServer({ configFile: fileURLToPath(new URL('../demo/vite.config.ts', import.meta.url)) });
await server.listen();
console.log('\nChunkwise is ready. Open this address in a browser with WebGPU:\n');
server.printUrls();
