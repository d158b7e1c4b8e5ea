import { ChunkwiseError, type ErrorDetail } from '../errors/chunkwise-error.ts';
import { refusable } from './refusal.ts';
import { type KernelText, renderKernel } from './kernel.ts';
import { fieldsOf, type ParamFields } from './param-slots.ts';

export interface Pipeline {
  readonly kernel: KernelText;
  /** Of its parameters. */
  readonly fields: ParamFields;
  readonly gpuPipeline: GPUComputePipeline;
  readonly storageLayout: GPUBindGroupLayout;
}

/** Builds each pipeline once. `ready()` waits for, and reports, what the driver thinks of them. */
export class Pipelines {
  readonly #byText = new Map<string, Pipeline>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #refusals: Promise<ErrorDetail | undefined>[] = [];
  /** Group 1 of every kernel with parameters. */
  readonly paramsLayout: GPUBindGroupLayout;

  constructor(private readonly gpuDevice: GPUDevice) {
    this.paramsLayout = gpuDevice.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } },
      ],
    });
  }

  get(kernel: KernelText): Pipeline {
    const code = renderKernel(kernel);
    const known = this.#byText.get(code);
    if (known) return known;
    const { made: pipeline, refusal } = refusable(this.gpuDevice, () => {
      const { descriptor, storageLayout } = this.#describe(kernel, code);
      return {
        kernel,
        fields: fieldsOf(kernel.params),
        gpuPipeline: this.gpuDevice.createComputePipeline(descriptor),
        storageLayout,
      };
    });
    this.#byText.set(code, pipeline);
    this.#refusals.push(
      refusal.then((reason) => {
        if (reason === undefined) return undefined;
        this.#byText.delete(code); // who asks again is told again
        return { field: kernel.name, reason };
      }),
    );
    return pipeline;
  }

  /** What was compiled: names of kernels with their texts. */
  texts(): { name: string; text: string }[] {
    return [...this.#byText].map(([text, { kernel }]) => ({ name: kernel.name, text }));
  }

  /** Compiles a kernel while other work goes on. What asks for it before compiles it at once, as where it is refused. */
  async prepare(kernel: KernelText): Promise<void> {
    const code = renderKernel(kernel);
    if (this.#byText.has(code)) return;
    const { made, refusal } = refusable(this.gpuDevice, () => {
      const { descriptor, storageLayout } = this.#describe(kernel, code);
      return { gpuPipeline: this.gpuDevice.createComputePipelineAsync(descriptor), storageLayout };
    });
    const [gpuPipeline] = await Promise.all([made.gpuPipeline, refusal]);
    if (!this.#byText.has(code))
      this.#byText.set(code, {
        kernel,
        fields: fieldsOf(kernel.params),
        gpuPipeline,
        storageLayout: made.storageLayout,
      });
  }

  /** Errors: `kernel_refused`, naming the first of them. */
  async ready(): Promise<void> {
    const refused = (await Promise.all(this.#refusals.splice(0))).find((detail) => detail);
    if (refused) throw new ChunkwiseError('kernel_refused', refused);
  }

  #describe(
    kernel: KernelText,
    code: string,
  ): { descriptor: GPUComputePipelineDescriptor; storageLayout: GPUBindGroupLayout } {
    const { name: label } = kernel;
    const storageLayout = this.#storageLayout(kernel);
    const layout = this.gpuDevice.createPipelineLayout({ bindGroupLayouts: [storageLayout, this.paramsLayout] });
    const module = this.gpuDevice.createShaderModule({ label, code });
    return { descriptor: { label, layout, compute: { module, entryPoint: 'main' } }, storageLayout };
  }

  #storageLayout({ bindings }: KernelText): GPUBindGroupLayout {
    const key = bindings.map(({ access }) => access).join();
    let layout = this.#layouts.get(key);
    if (!layout) {
      layout = this.gpuDevice.createBindGroupLayout({
        entries: bindings.map(({ access }, binding) => ({
          binding,
          visibility: GPUShaderStage.COMPUTE,
          buffer: { type: access === 'read' ? 'read-only-storage' : 'storage' },
        })),
      });
      this.#layouts.set(key, layout);
    }
    return layout;
  }
}
