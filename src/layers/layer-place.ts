import type { ModelConfig } from '../config/model-config.ts';
import type { Device } from '../gpu/device.ts';
import type { Activations } from './activations.ts';

/** Which layer of which model on which device, and the intermediates that all layers share. */
export interface LayerPlace {
  device: Device;
  layer: number;
  config: ModelConfig;
  activations: Activations;
}
