import type { ModelConfig } from '../../config/model-config.ts';
import type { Device } from '../../gpu/device.ts';
import { createOperation } from '../../gpu/operation.ts';
import type { Check } from '../../gpu/self-check.ts';
import { capLogitsKernel } from '../../kernels/gemma/cap-logits.ts';
import { takeInputKernel } from '../../kernels/gemma/take-input.ts';
import { anyHalves, anyNumbers, bufferOf } from './known-values.ts';
import { ACTIVATIONS } from './plain-math.ts';

const TOKENS = 3;

/** What the second of some layers takes in, gated. */
export function layerInputCheck(device: Device, { perLayerInputs: width = 0, activation }: ModelConfig): Check {
  const layers = 3;
  const next = anyNumbers();
  const [gates, inputs] = [
    anyHalves(TOKENS * width, next).map((value) => 4 * value),
    anyHalves(TOKENS * layers * width, next),
  ];
  const [x, taken] = [bufferOf(device, gates), bufferOf(device, inputs)];
  return {
    name: `take-input × ${width}`,
    make() {
      const operation = createOperation(device, takeInputKernel(device, width, layers, activation), {
        x,
        inputs: taken,
      });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(x, 0, gates);
        recorder.run(operation, operation.groups({ tokens: TOKENS }), { start4: width / 4 });
      };
    },
    result: [{ buffer: x, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from(
      gates,
      (gate, i) =>
        ACTIVATIONS[activation](gate) * inputs[Math.floor(i / width) * layers * width + width + (i % width)]!,
    ),
    row: width,
  };
}

/** Logits near 0, and so large that their cap is all that is left. */
export function logitCapCheck(device: Device, cap: number): Check {
  const width = 40;
  const values = anyHalves(TOKENS * width, anyNumbers()).map((value, i) => (i % 5 === 0 ? 1e4 : 2) * cap * value);
  const logits = bufferOf(device, values);
  return {
    name: 'cap-logits',
    make() {
      const operation = createOperation(device, capLogitsKernel(device, width, cap), { logits });
      return (recorder) => {
        device.gpuDevice.queue.writeBuffer(logits, 0, values);
        recorder.run(operation, operation.groups({ tokens: TOKENS }));
      };
    },
    result: [{ buffer: logits, offset: 0, size: TOKENS * width * 4 }],
    read: (bytes) => new Float32Array(bytes),
    expected: Array.from(values, (logit) => cap * Math.tanh(logit / cap)),
    row: width,
  };
}
