import { ChunkwiseError, type ErrorDetail } from '../errors/chunkwise-error.ts';
import { type KernelText, type ParamFields, type ParamsSpace, renderKernel } from './kernel.ts';

/** A kernel that the browser compiles asynchronously. Bind groups can be created before it is compiled. */
export class Pipeline {
  /** Fields of its parameters. */
  readonly fields: ParamFields;
  /** Resolves when compilation has ended: with the browser's or driver's error message, if it failed. */
  readonly refusal: Promise<string | undefined>;
  readonly #createNow: () => GPUComputePipeline;
  #gpuPipeline: GPUComputePipeline | undefined;

  constructor(
    gpuDevice: GPUDevice,
    readonly kernel: KernelText,
    readonly storageLayout: GPUBindGroupLayout,
    describe: () => GPUComputePipelineDescriptor,
  ) {
    this.fields = Object.entries(kernel.params);
    const { made, refusal } = refusable(gpuDevice, () => {
      const descriptor = describe();
      return { descriptor, created: gpuDevice.createComputePipelineAsync(descriptor) };
    });
    this.#createNow = () => gpuDevice.createComputePipeline(made.descriptor);
    const created = made.created.then((gpuPipeline) => {
      this.#gpuPipeline ??= gpuPipeline;
      return undefined;
    }, messageOf);
    this.refusal = Promise.all([refusal, created]).then(([ofModule, ofPipeline]) => ofModule ?? ofPipeline);
  }

  get isCompiled(): boolean {
    return this.#gpuPipeline !== undefined;
  }

  /** Compiles synchronously if it is not compiled yet; await `Pipelines.ready()` first. */
  get gpuPipeline(): GPUComputePipeline {
    return (this.#gpuPipeline ??= this.#createNow());
  }
}

/** The message of a GPUPipelineError; anything else is the loss of the device, which is reported elsewhere. */
const messageOf = (error: unknown): string | undefined =>
  error instanceof Error && error.name === 'GPUPipelineError' ? error.message : undefined;

/** Pipelines compiled and created so far. */
export interface Compilation {
  compiled: number;
  total: number;
}

/** Compiles each kernel once, all in parallel. `ready()` awaits them. */
export class Pipelines {
  readonly #byText = new Map<string, Pipeline>();
  /** The same by the kernel, which binds to new buffers without rendering its text again. */
  readonly #byKernel = new WeakMap<KernelText, Pipeline>();
  readonly #layouts = new Map<string, GPUBindGroupLayout>();
  /** Those that the next `ready()` awaits. */
  readonly #awaited = new Map<Pipeline, Promise<ErrorDetail | undefined>>();
  /** Called after each compilation. */
  onCompiled: ((compilation: Compilation) => void) | undefined;

  /** `paramsLayout`: group 1 of every kernel; none if parameters are immediates. */
  constructor(
    private readonly gpuDevice: GPUDevice,
    private readonly space: ParamsSpace = 'uniform',
    readonly paramsLayout = space === 'uniform' ? uniformLayout(gpuDevice) : undefined,
  ) {}

  /** Pipelines of the same device for kernels that are tried and may not be kept. */
  apart(): Pipelines {
    return new Pipelines(this.gpuDevice, this.space, this.paramsLayout);
  }

  /** Starts to compile a kernel, unless it is known. Await `ready()` before the first dispatch. */
  get(kernel: KernelText): Pipeline {
    const pipeline = this.#pipeline(kernel);
    if (!pipeline.isCompiled) {
      const detail = pipeline.refusal.then((reason) =>
        reason === undefined ? undefined : { field: kernel.name, reason },
      );
      this.#awaited.set(pipeline, detail);
    }
    return pipeline;
  }

  /** WGSL of a kernel on this device. */
  textOf(kernel: KernelText): string {
    return renderKernel(kernel, this.space);
  }

  /** Names and WGSL of the kernels. */
  texts(): { name: string; text: string }[] {
    return [...this.#byText].map(([text, { kernel }]) => ({ name: kernel.name, text }));
  }

  /** Compiles a kernel ahead of `get`, which fails if this one is refused. */
  async prepare(kernel: KernelText): Promise<void> {
    await this.#pipeline(kernel).refusal;
  }

  /** Awaits pipelines that `get` has returned; default: all. Errors: `kernel_refused`, naming the first. */
  async ready(pipelines: readonly Pipeline[] = [...this.#awaited.keys()]): Promise<void> {
    const details = await Promise.all(pipelines.flatMap((pipeline) => this.#awaited.get(pipeline) ?? []));
    for (const pipeline of pipelines) this.#awaited.delete(pipeline);
    const refused = details.find((detail) => detail);
    if (refused) throw new ChunkwiseError('kernel_refused', refused);
  }

  get compilation(): Compilation {
    const all = [...this.#byText.values()];
    return { compiled: all.filter(({ isCompiled }) => isCompiled).length, total: all.length };
  }

  #pipeline(kernel: KernelText): Pipeline {
    const same = this.#byKernel.get(kernel);
    if (same) return same;
    const code = this.textOf(kernel);
    const pipeline = this.#byText.get(code) ?? this.#compile(kernel, code);
    this.#byKernel.set(kernel, pipeline);
    return pipeline;
  }

  #compile(kernel: KernelText, code: string): Pipeline {
    const { name: label } = kernel;
    const storageLayout = this.#storageLayout(kernel);
    const pipeline = new Pipeline(this.gpuDevice, kernel, storageLayout, () => {
      const layout = this.gpuDevice.createPipelineLayout(
        this.paramsLayout
          ? { bindGroupLayouts: [storageLayout, this.paramsLayout] }
          : { bindGroupLayouts: [storageLayout], immediateSize: 4 * Object.keys(kernel.params).length },
      );
      const module = this.gpuDevice.createShaderModule({ label, code });
      return { label, layout, compute: { module, entryPoint: 'main' } };
    });
    this.#byText.set(code, pipeline);
    void pipeline.refusal.then((reason) => {
      if (reason !== undefined) this.#byText.delete(code); // a new kernel of this text fails again
      this.onCompiled?.(this.compilation);
    });
    return pipeline;
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

const uniformLayout = (gpuDevice: GPUDevice): GPUBindGroupLayout =>
  gpuDevice.createBindGroupLayout({
    entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform', hasDynamicOffset: true } }],
  });

/** Runs `work`, which creates modules or pipelines; `refusal` resolves with the browser's or driver's error message, if any. */
export function refusable<T>(gpuDevice: GPUDevice, work: () => T): { made: T; refusal: Promise<string | undefined> } {
  gpuDevice.pushErrorScope('internal'); // driver errors
  gpuDevice.pushErrorScope('validation');
  const made = work();
  // Error scopes of a lost device may reject; the loss is reported elsewhere.
  const popped = Promise.allSettled([gpuDevice.popErrorScope(), gpuDevice.popErrorScope()]);
  const refusal = popped.then((results) =>
    results.map((result) => (result.status === 'fulfilled' ? result.value?.message : undefined)),
  );
  return { made, refusal: refusal.then((messages) => messages.find((message) => message !== undefined)) };
}
