import type { AdapterSource } from '../../../src/adapters/adapter-header.ts';
import type { ModelConfig } from '../../../src/config/model-config.ts';
import { BytesSource } from '../bytes-source.ts';
import { Random } from '../random.ts';
import {
  CONFIG_FILE,
  ggufAdapter,
  peftWeights,
  type TinyAdapter,
  tinyAdapter,
  WEIGHTS_FILE,
} from '../models/tiny-adapter.ts';

const PATTERNS = { rank_pattern: { up_proj: 4 }, alpha_pattern: { up_proj: 3 } };

/** A random adapter of `model`, `count` times, each with one mutation: of its config, its tensors, or its GGUF form. */
export function* mutatedAdapters(
  model: ModelConfig,
  count: number,
): Generator<{ what: string; source: AdapterSource }> {
  const adapter = tinyAdapter(model, { seed: 1, config: PATTERNS });
  const config = new TextEncoder().encode(JSON.stringify(adapter.config));
  const weights = peftWeights(adapter);
  const gguf = ggufAdapter(adapter, model);
  const random = new Random(500);
  for (let i = 0; i < count; i++) {
    const part = i % 5;
    const source = { config: new BytesSource(CONFIG_FILE, config), weights: new BytesSource(WEIGHTS_FILE, weights) };
    if (part === 4) {
      const [what, bytes] = mutateBytes(gguf, i % 2 === 0 ? 2000 : gguf.length - 8, random);
      yield { what: `gguf ${i}: ${what}`, source: { gguf: new BytesSource('a.gguf', bytes) } };
    } else if (part < 2) {
      const [what, bytes] = part === 0 ? mutateConfig(adapter, random) : mutateBytes(config, config.length - 8, random);
      yield { what: `config ${i}: ${what}`, source: { ...source, config: new BytesSource(CONFIG_FILE, bytes) } };
    } else {
      const [what, bytes] = mutateBytes(weights, part === 2 ? 2400 : weights.length - 8, random);
      yield { what: `weights ${i}: ${what}`, source: { ...source, weights: new BytesSource(WEIGHTS_FILE, bytes) } };
    }
  }
}

const VALUES = [null, true, 0, -1, 1e308, 0.5, '', 'q_proj', '(', [], ['v_proj'], [1], {}, { q_proj: 4 }, { '(': 1 }];

/** Replaces a random, possibly nested, field by an unusual value. */
function mutateConfig(adapter: TinyAdapter, random: Random): [string, Uint8Array] {
  const fields = Object.keys(adapter.config);
  const field = fields[random.below(fields.length)]!;
  const value = VALUES[random.below(VALUES.length)];
  const changed = { ...adapter.config, [field]: random.below(3) === 0 ? { [field]: value } : value };
  return [`${field} = ${JSON.stringify(value)}`, new TextEncoder().encode(JSON.stringify(changed))];
}

function mutateBytes(original: Uint8Array, reach: number, random: Random): [string, Uint8Array] {
  const bytes = original.slice();
  const at = random.below(reach);
  const kind = random.below(4);
  if (kind === 0) bytes[at]! ^= 1 << random.below(8);
  else if (kind === 1) bytes[at] = 0x30 + random.below(10);
  else if (kind === 2) for (let i = 0; i < 8; i++) bytes[at + i] = random.below(256);
  else return [`cut at ${at}`, bytes.slice(0, at)];
  return [`kind ${kind} at ${at}`, bytes];
}
