import { derivedGpu } from './derived-gpu.ts';

/** The software adapter with a compiler that replaces `from` by `to` in the modules of these kernels, or of all kernels. */
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
