/** Runs every case of `e2e/devices/gpu-kills.ci.test.ts` N times: npm run kills -- N. After `npm run build`. */
import { spawnSync } from 'node:child_process';

const rounds = process.argv[2] ?? '3';
if (!/^[1-9]\d*$/.test(rounds)) throw new Error(`how often? ${rounds} is no number`);
const env = { ...process.env, CHUNKWISE_KILLS: rounds };
process.exitCode =
  spawnSync('npx', ['vitest', 'run', '--project', 'e2e', 'e2e/devices/gpu-kills.ci.test.ts'], { env, stdio: 'inherit' })
    .status ?? 1;
