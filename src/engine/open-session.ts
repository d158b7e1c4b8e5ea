import { openDevice } from '../gpu/device.ts';
import { noErrors } from '../gpu/error-scopes.ts';
import { Recorder } from '../gpu/recorder.ts';
import { loadTransformer } from '../models/load-transformer.ts';
import { planModel } from './model-plan.ts';
import { Session } from './session.ts';
import type { EngineCoreOptions } from './types.ts';
import { warmUp, warmUpPageForms } from './warm-up.ts';

/** Opens a device and brings the model there. Errors: those of `openEngine`. */
export async function openSession(options: EngineCoreOptions): Promise<Session> {
  const { onProgress, signal, wait, gpuAdapter, without, deviceClass } = options;
  const device = await openDevice(options.gpu, { wait, gpuAdapter, without, deviceClass, onLost: options.onDeviceLost });
  try {
    onProgress?.({ phase: 'header', bytes: 0, total: 0 });
    const plan = await planModel(device, options.sources, options);
    return await noErrors(device, plan.file, async () => {
      let bytes = 0;
      const onBytes = (more: number): void => {
        bytes += more;
        onProgress?.({ phase: 'upload', bytes, total: plan.tensorBytes });
      };
      const transformer = await loadTransformer(device, plan.config, plan.tensors, { ...plan, onBytes, signal });
      onProgress?.({ phase: 'compile', bytes: 0, total: 0 });
      const session = new Session(device, plan, transformer, new Recorder(device), options.onTrace);
      await device.pipelines.ready();
      await warmUp(session);
      if (options.compilesPageForms) await warmUpPageForms(session);
      await device.pipelines.ready();
      return session;
    });
  } catch (error) {
    device.close();
    throw error;
  }
}
