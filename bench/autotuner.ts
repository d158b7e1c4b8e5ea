// Cost of the autotuner's choices against the best candidate, with the kernels of class gpu: npm run bench -- autotuner
// [NUMBER OF RUNS]. The best candidate is found by timing all candidates in turn until each ran for a second.
import { FileSource } from '../src/node/file-source.ts';
import { napping, nodeGpu } from '../tools/instruments/node-gpu.ts';
import { quantile } from '../src/util/numbers.ts';
import { autotune, type Candidate, type TuningCase } from '../src/gpu/autotuner.ts';
import { type Device, openDevice } from '../src/gpu/device.ts';
import { Recorder } from '../src/gpu/recorder.ts';
import { kernelCandidates } from '../src/models/kernel-candidates.ts';
import { planModel } from '../src/session/model-plan.ts';
import { ensureModel } from '../tools/setup/fetch-model.ts';
import { record } from './support/results.ts';
import { printTable } from './support/table.ts';

const ROUNDS = 11;
const ROUND_MS = 100;

const [asked = '3'] = process.argv.slice(2);
const device = await openDevice(nodeGpu(), { wait: napping, deviceClass: 'gpu' });
const plan = await planModel(device, [await FileSource.open(await ensureModel())], {});
const recorder = new Recorder(device);
const own = device.variant;
const { tuningCases } = kernelCandidates(device, plan.config, plan.tensors);

/** Choice per tuning case, and the milliseconds for all. */
async function choices(): Promise<{ chosen: Candidate[]; ms: number }> {
  device.variant = own;
  const chosen: Candidate[] = [];
  const began = performance.now();
  await autotune(device, recorder, tuningCases, {
    get: async () => undefined,
    set: async (_key, candidate) => void chosen.push(candidate),
  });
  return { chosen, ms: performance.now() - began };
}

/** Median milliseconds per run of each candidate, timed in turn; Infinity if the driver rejects it. */
async function thorough(tuningCase: TuningCase): Promise<number[]> {
  const entrants = [];
  for (const candidate of tuningCase.candidates)
    entrants.push({ run: await entrant(device, tuningCase, candidate), times: [] as number[] });
  for (let round = 0; round < ROUNDS; round++) {
    for (const { run, times } of entrants) {
      const count = Math.max(1, Math.round(ROUND_MS / (await run(1))));
      times.push((await run(count)) / count);
    }
  }
  return entrants.map(({ times }) => quantile(times, 0.5));
}

/** Milliseconds of a submission of `count` runs. */
async function entrant(
  { gpuDevice, pipelines }: Device,
  tuningCase: TuningCase,
  candidate: Candidate,
): Promise<(count: number) => Promise<number>> {
  device.variant = { ...own, ...candidate };
  const record = tuningCase.make();
  const isTaken = await pipelines.ready().then(
    () => true,
    () => false,
  );
  return async (count) => {
    if (!isTaken) return Infinity;
    device.variant = { ...own, ...candidate };
    const began = performance.now();
    recorder.inOneGo(() => {
      for (let i = 0; i < count; i++) record(recorder, 1);
    });
    await gpuDevice.queue.onSubmittedWorkDone();
    return performance.now() - began;
  };
}

const all: { chosen: Candidate[]; ms: number }[] = [];
for (let i = 0; i < Number(asked); i++) all.push(await choices()); // the first compiles
const rows = [];
for (const [i, tuningCase] of tuningCases.entries()) {
  const times = await thorough(tuningCase);
  const best = Math.min(...times);
  const places = all.map(({ chosen }) => tuningCase.candidates.indexOf(chosen[i]!));
  rows.push({
    tuningCase: tuningCase.name,
    best: JSON.stringify(tuningCase.candidates[times.indexOf(best)]),
    bestMs: Number(best.toPrecision(3)),
    slowestMs: Number(Math.max(...times).toPrecision(3)),
    chosen: places.join(' '),
    chosenOverBest: places.map((place) => (times[place]! / best).toFixed(3)).join(' '),
  });
}
printTable(rows, ['tuningCase', 'best', 'bestMs', 'slowestMs', 'chosen', 'chosenOverBest']);
const ms = all.map((one) => Math.round(one.ms));
console.log(`${device.name}: ms until all were chosen, compiling included: ${ms.join(', ')}`);
await record('autotuner', device.name, { ms, rows });
process.exit(0);
