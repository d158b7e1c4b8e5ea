import { ChunkwiseError } from '../errors/chunkwise-error.ts';
import { type Kernel, renderKernel } from './kernel.ts';

export interface Pipeline {
  readonly kernel: Kernel;
  readonly gpuPipeline: GPUComputePipeline;
  readonly storageLayout: GPUBindGroupLayout;
}

/** Builds each pipeline once. `ready()` waits for, and reports, what the driver thinks of them. */
export class Pipelines {
  readonly #byText = new Map<string, Pipeline>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  readonly #errors: Promise<string | undefined>[] = [];
  /** Group 1 of every kernel with parameters. */
  readonly paramsLayout: GPUBindGroupLayout;

  constructor(private readonly gpuDevice: GPUDevice) {
    this.paramsLayout = gpuDevice.createBindGroupLayout({
      entries: [
        { binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } },
      ],
    });
  }

  get(kernel: Kernel): Pipeline {
    const code = renderKernel(kernel);
    const known = this.#byText.get(code);
    if (known) return known;
    this.gpuDevice.pushErrorScope('validation');
    const { descriptor, storageLayout } = this.#describe(kernel, code);
    const gpuPipeline = this.gpuDevice.createComputePipeline(descriptor);
    this.#errors.push(
      this.gpuDevice.popErrorScope().then(
        (error) => error && `${kernel.name}: ${error.message}`,
        () => undefined, // the device is lost, which is reported where it is noticed
      ) as Promise<string | undefined>,
    );
    const pipeline = { kernel, gpuPipeline, storageLayout };
    this.#byText.set(code, pipeline);
    return pipeline;
  }

  /** What was compiled: names of kernels with their texts. */
  texts(): { name: string; text: string }[] {
    return [...this.#byText].map(([text, { kernel }]) => ({ name: kernel.name, text }));
  }

  /** Compiles a kernel while other work goes on. What asks for it before compiles it at once. */
  async prepare(kernel: Kernel): Promise<void> {
    const code = renderKernel(kernel);
    if (this.#byText.has(code)) return;
    const { descriptor, storageLayout } = this.#describe(kernel, code);
    const gpuPipeline = await this.gpuDevice.createComputePipelineAsync(descriptor);
    if (!this.#byText.has(code)) this.#byText.set(code, { kernel, gpuPipeline, storageLayout });
  }

  /** Errors: `unsupported` when this driver refuses a kernel. */
  async ready(): Promise<void> {
    const failed = (await Promise.all(this.#errors.splice(0))).find((message) => message);
    if (failed) throw new ChunkwiseError('unsupported', { field: 'kernel', reason: failed });
  }

  #describe(kernel: Kernel, code: string): { descriptor: GPUComputePipelineDescriptor; storageLayout: GPUBindGroupLayout } {
    const { name: label } = kernel;
    const storageLayout = this.#storageLayout(kernel);
    const layout = this.gpuDevice.createPipelineLayout({ bindGroupLayouts: [storageLayout, this.paramsLayout] });
    const module = this.gpuDevice.createShaderModule({ label, code });
    return { descriptor: { label, layout, compute: { module, entryPoint: 'main' } }, storageLayout };
  }

  #storageLayout({ bindings }: Kernel): GPUBindGroupLayout {
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
