// A watchdog thread: kills the process if a case far exceeds its processor time.
import { workerData } from 'node:worker_threads';

const { begun, most } = workerData;
const cpuMs = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

setInterval(() => {
  const from = Atomics.load(begun, 0);
  if (from > 0 && cpuMs() - from > most) process.kill(process.pid, 'SIGKILL');
}, 50);
