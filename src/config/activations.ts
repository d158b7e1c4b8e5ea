/**
 * Activations that a gate passes before it is multiplied by up: their names in transformers (activations.py, ACT2FN), and the function that checks compare
 * kernels with. The kernels' text is `activation/NAME` in shaders/parts/activation.wgsl.
 */
export const ACTIVATIONS = {
  silu: { names: ['silu', 'swish'], compute: (x: number) => x / (1 + Math.exp(-x)) },
  gelu: {
    names: ['gelu_pytorch_tanh', 'gelu_new'],
    compute: (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  },
};

export type Activation = keyof typeof ACTIVATIONS;
