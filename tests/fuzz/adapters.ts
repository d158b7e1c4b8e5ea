import { loadAdapter } from '../support/adapters/loaded-adapter.ts';
import {
  CONFIG_FILE,
  ggufAdapter,
  peftWeights,
  tinyAdapter,
  tinyConfig,
  WEIGHTS_FILE,
} from '../support/models/tiny-adapter.ts';
import { BytesSource } from '../support/bytes-source.ts';
import { FILE_CODES, type FuzzCase, type FuzzKind } from './kind.ts';
import { encode, mutateBytes, mutateJson, pick } from './mutate.ts';

const PATTERNS = {
  rank_pattern: { up_proj: 4 },
  alpha_pattern: { up_proj: 3, 'layers\\.0\\..*q_proj': 2 },
  layers_to_transform: [0],
  layers_pattern: 'layers',
  alora_invocation_tokens: [2, 3],
};

/** PEFT's two files and GGUF LoRA files, one of them damaged or with unusual values. */
export const adapters: FuzzKind = {
  codes: FILE_CODES,
  async open() {
    const model = await tinyConfig({ numLayers: 1 });
    const [single, half, bfloat] = (['F32', 'F16', 'BF16'] as const).map((type) =>
      tinyAdapter(model, { seed: 1, type, config: PATTERNS }),
    );
    const whole = [single!, half!, bfloat!].map((adapter) => {
      const config: Record<string, unknown> = { ...adapter.config };
      return {
        config,
        text: encode(JSON.stringify(config)),
        weights: peftWeights(adapter),
        gguf: ggufAdapter(adapter, model),
      };
    });
    const peft = (config: Uint8Array, weights: Uint8Array) => ({
      config: new BytesSource(CONFIG_FILE, config),
      weights: new BytesSource(WEIGHTS_FILE, weights),
    });
    for (const { text, weights, gguf } of whole) {
      await loadAdapter(peft(text, weights), model);
      await loadAdapter({ gguf: new BytesSource('a.gguf', gguf) }, model);
    }
    return (random): FuzzCase => {
      const { config, text, weights, gguf } = pick(whole, random);
      const part = random.below(5);
      if (part === 0) {
        const [what, bytes] = mutateBytes(gguf, 0, random.below(2) === 0 ? 2000 : gguf.length, random);
        return {
          what: `gguf: ${what}`,
          bytes: bytes.length,
          run: () => loadAdapter({ gguf: new BytesSource('a.gguf', bytes) }, model),
        };
      }
      if (part === 1) {
        const [what, bytes] = mutateBytes(weights, 0, random.below(2) === 0 ? 2400 : weights.length, random);
        return { what: `weights: ${what}`, bytes: bytes.length, run: () => loadAdapter(peft(text, bytes), model) };
      }
      const [what, changed] = part === 2 ? mutateBytes(text, 0, text.length, random) : mutateJson(config, random);
      const bytes = typeof changed === 'string' ? encode(changed) : changed;
      return {
        what: `config: ${what}`,
        bytes: bytes.length + weights.length,
        run: () => loadAdapter(peft(bytes, weights), model),
      };
    };
  },
};
