import type * as WebLlm from '@mlc-ai/web-llm';
import type { ChatOptions, MLCEngineConfig } from '@mlc-ai/web-llm';
import { MLCEngine, webLlm } from './mlc-engine.ts';

/**
 * web-llm's `CreateWebWorkerMLCEngine`. `worker` serves models in MLC's format; this runtime has its own worker.
 * @throws ChunkwiseError as `CreateMLCEngine` does.
 */
export async function CreateWebWorkerMLCEngine(
  worker: WebLlm.WebWorkerMLCEngine['worker'],
  modelId: string | string[],
  engineConfig?: MLCEngineConfig,
  chatOpts?: ChatOptions | ChatOptions[],
): Promise<WebWorkerMLCEngine> {
  const engine = new WebWorkerMLCEngine(worker, engineConfig);
  await engine.reload(modelId, chatOpts);
  return engine;
}

/** web-llm's `WebWorkerMLCEngine`. */
export class WebWorkerMLCEngine extends MLCEngine {
  constructor(
    readonly worker: WebLlm.WebWorkerMLCEngine['worker'],
    engineConfig?: MLCEngineConfig,
  ) {
    super(engineConfig);
  }

  protected override makeReal(webLlm: typeof WebLlm, config: MLCEngineConfig): WebLlm.MLCEngineInterface {
    return new webLlm.WebWorkerMLCEngine(this.worker, config);
  }
}

/** web-llm's `WebWorkerMLCEngineHandler`, which handles the messages of the app's worker. The first message loads web-llm. */
export class WebWorkerMLCEngineHandler {
  #handler: Promise<WebLlm.WebWorkerMLCEngineHandler> | undefined;

  onmessage = (event: MessageEvent, onComplete?: (value: unknown) => void, onError?: () => void): void => {
    this.#handler ??= webLlm().then(({ WebWorkerMLCEngineHandler: Handler }) => new Handler());
    void this.#handler.then((handler) => handler.onmessage(event, onComplete, onError));
  };
}
