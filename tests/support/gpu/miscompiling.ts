import { derivedGpu } from './derived-gpu.ts';

/** The software adapter, whose compiler makes something else of the modules of these kernels, or of all that have such a line. */
export function miscompiling(from: RegExp, to: string, kernels?: readonly string[]) {
  let changed = 0;
  const gpu = derivedGpu((device) => ({
    createShaderModule: ({ label, code }) => {
      const wrong = !kernels || kernels.includes(label ?? '') ? code.replace(from, to) : code;
      if (wrong !== code) changed++;
      return device.createShaderModule({ label: label ?? '', code: wrong });
    },
  }));
  return { gpu, changed: () => changed };
}
