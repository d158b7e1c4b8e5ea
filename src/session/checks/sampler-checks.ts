import { GREEDY } from '../../config/sampling.ts';
import type { Device } from '../../gpu/device.ts';
import type { CheckGroup } from '../../gpu/self-check.ts';
import { anyNumbers, bufferOf } from '../../models/checks/known-values.ts';
import { Sampler } from '../sampling/sampler.ts';

/** The likeliest of known logits is drawn, at once and as the only one that filters leave; and how certain it is. */
export function samplerChecks(device: Device, vocabSize: number): CheckGroup {
  const next = anyNumbers();
  const logits = Float32Array.from({ length: vocabSize }, () => 4 * next());
  const likeliest = Math.floor(vocabSize * 0.7);
  logits[likeliest] = 5;
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  const entropy = logits.reduce((total, logit) => total - (Math.exp(logit) / sum) * (logit - Math.log(sum)), 0) / Math.log(vocabSize);
  const [row, tokens] = [bufferOf(device, logits), bufferOf(device, new Uint32Array(4))];
  const sampler = new Sampler(device, vocabSize, row, tokens);
  const check = (sampling: typeof GREEDY) => ({
    name: 'sampler',
    make: () => (recorder: Parameters<Sampler['record']>[0]) => {
      device.gpuDevice.queue.writeBuffer(row, 0, logits);
      sampler.record(recorder, 0, { slot: 0, sampling, position: 1, wantsEntropy: true });
    },
    result: [tokens, sampler.entropy].map((buffer) => ({ buffer, offset: 0, size: 4 })),
    // A token is right or not.
    read: (bytes: ArrayBuffer) => [Number(new Uint32Array(bytes)[0] === likeliest), new Float32Array(bytes)[1] ?? NaN],
    expected: [1, entropy],
  });
  return { candidates: [], checks: [check(GREEDY), check({ ...GREEDY, temperature: 1, topK: 1 }), check({ ...GREEDY, temperature: 1, topP: 1e-6 })] };
}
