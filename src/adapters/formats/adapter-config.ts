import { ConfigFields } from './config-fields.ts';
import { modulePattern } from './module-pattern.ts';

/** What an adapter_config.json says (peft/tuners/lora/config.py), as far as inference goes. */
export interface AdapterConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly useRslora: boolean;
  readonly baseModel?: string;
  /** Of an activated LoRA: the tokens with which it begins; see `Invocation`. */
  readonly invocationTokens?: readonly number[];
  /** What answers of each type of question are tempered with; this package's own field. */
  readonly decisionTemperatures?: DecisionTemperatures;
  /** Whether a module of this name (`model.layers.0.self_attn.q_proj`) has an adapter. */
  isTargeted: (name: string) => boolean;
  /** A module's rank, and the factor of its B·A. */
  rankOf: (name: string) => number;
  scaleOf: (name: string) => number;
}

/** What divides log-probabilities of the answers to questions of each type; see `DecisionQuestion`. */
export type DecisionTemperatures = Readonly<Partial<Record<'predicate' | 'choice' | 'score', number>>>;

/** Fields of PEFT 0.21 (tuners/lora/config.py) that turn LoRA into something else when they are set at all. */
const REFUSED_WHEN_SET = [
  'use_dora',
  'modules_to_save',
  'fan_in_fan_out',
  'lora_bias',
  'trainable_token_indices',
  'megatron_config',
  'layer_replication',
  'target_parameters',
  'use_qalora',
  'use_bdlora',
  'arrow_config',
  'kasa_config',
  'monteclora_config',
];

/** Fields that matter in training or to other software alone; the last three are ms-swift's. */
const IGNORED = [
  'auto_mapping',
  'corda_config',
  'ensure_weight_tying',
  'eva_config',
  'inference_mode',
  'loftq_config',
  'lora_dropout',
  'lora_ga_config',
  'megatron_core',
  'merge_weights',
  'peft_version',
  'qalora_group_size',
  'revision',
  'runtime_config',
  'task_type',
  'velora_config',
  'lora_dtype',
  'lorap_emb_lr',
  'lorap_lr_ratio',
];

/** Makes LoRA activated LoRA. */
export const INVOCATION_FIELD = 'alora_invocation_tokens';

/** Of ranks or alphas: more than any model has linears. */
const MOST_PATTERNS = 8192;

/** Initialisations of PEFT 0.21 that leave the base as it is: what was saved is then the whole of the change. */
const KEEPS_BASE = ['gaussian', 'eva', 'orthogonal', 'mica'];

/**
 * Reads the text of an adapter_config.json. `file` names it in errors. Throws `bad_file`, and `unsupported` for what
 * cannot be honoured, naming the field.
 */
export function parseAdapterConfig(text: string, file: string): AdapterConfig {
  const fields = ConfigFields.parse(text, file);
  checkKind(fields);
  const rank = fields.rank('r', 8);
  const alpha = fields.number('lora_alpha', 8);
  const useRslora = fields.boolean('use_rslora');
  const ranks = readPatterns(fields, 'rank_pattern', (value, field) => fields.checkRank(value, field));
  const alphas = readPatterns(fields, 'alpha_pattern', (value, field) => fields.checkNumber(value, field));
  const isTargeted = readTargets(fields);
  for (const name of ['lm_head', 'model.embed_tokens']) {
    if (isTargeted(name)) fields.fail('target_modules', `adapters of ${name} are not supported`, 'unsupported');
  }
  const rankOf = (name: string): number => ranks(name) ?? rank;
  const baseModel = fields.optionalString('base_model_name_or_path');
  const invocationTokens = fields.tokens(INVOCATION_FIELD);
  const decisionTemperatures = readTemperatures(fields);
  checkUnknown(fields);
  return {
    rank,
    alpha,
    useRslora,
    baseModel: baseModel === '' ? undefined : baseModel,
    invocationTokens,
    ...(decisionTemperatures && { decisionTemperatures }),
    isTargeted,
    rankOf,
    scaleOf: (name) => {
      const divisor = useRslora ? Math.sqrt(rankOf(name)) : rankOf(name);
      return (alphas(name) ?? alpha) / divisor;
    },
  };
}

/** The highest that a request may name. */
const MOST_TEMPERATURE = 100;

function readTemperatures(fields: ConfigFields): DecisionTemperatures | undefined {
  const field = 'decision_temperatures';
  const given = Object.entries(fields.object(field));
  for (const [type, value] of given) {
    if (!['predicate', 'choice', 'score'].includes(type)) fields.fail(`${field}.${type}`, 'is no type of question');
    const temperature = fields.checkNumber(value, `${field}.${type}`);
    if (!(temperature > 0 && temperature <= MOST_TEMPERATURE))
      fields.fail(`${field}.${type}`, `must be above 0, to ${MOST_TEMPERATURE}, but is ${temperature}`);
  }
  return given.length > 0 ? Object.fromEntries(given) : undefined;
}

function checkKind(fields: ConfigFields): void {
  const type = fields.optionalString('peft_type');
  if (type === undefined) fields.fail('peft_type', 'is missing');
  if (type.toUpperCase() !== 'LORA') fields.fail('peft_type', `${type.slice(0, 40)} is not LORA`, 'unsupported');
  for (const field of REFUSED_WHEN_SET) {
    if (fields.isSet(field)) fields.fail(field, 'is not supported', 'unsupported');
  }
  const bias = fields.optionalString('bias') ?? 'none';
  if (bias !== 'none') fields.fail('bias', `${JSON.stringify(bias.slice(0, 40))} is not supported`, 'unsupported');
  checkInit(fields);
}

/**
 * PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA take from the base's weights what they put into the adapter, so that its file is
 * right only beside the base that was left (peft/tuners/lora/layer.py, update_layer). What is not known may do the same.
 */
function checkInit(fields: ConfigFields): void {
  const init = fields.get('init_lora_weights') ?? true;
  if (typeof init === 'boolean' || (typeof init === 'string' && KEEPS_BASE.includes(init.toLowerCase()))) return;
  const reason = `${JSON.stringify(init).slice(0, 40)} may change the base's weights too; save the adapter as plain LoRA (PEFT: save_pretrained with path_initial_model_for_weight_conversion)`;
  fields.fail('init_lora_weights', reason, 'unsupported');
}

/** A field of a later PEFT may change what an adapter computes, unless it says that there is nothing. */
function checkUnknown(fields: ConfigFields): void {
  const [unknown] = fields.unread([...REFUSED_WHEN_SET, ...IGNORED]);
  if (unknown === undefined) return;
  const value = JSON.stringify(fields.get(unknown)).slice(0, 40);
  fields.fail(
    unknown,
    `is not known to this version, and ${value} may change what the adapter computes`,
    'unsupported',
  );
}

/** A module's value is that of the first key that matches the end of its name (peft/utils/other.py, get_pattern_key). */
function readPatterns(
  fields: ConfigFields,
  field: string,
  check: (value: unknown, field: string) => number,
): (name: string) => number | undefined {
  const given = Object.entries(fields.object(field));
  if (given.length > MOST_PATTERNS)
    fields.fail(field, `has ${given.length} patterns; at most ${MOST_PATTERNS} are read`);
  const entries = given.map(([key, value]) => ({
    pattern: compile(fields, field, `^(.*\\.)?(${key})$`, key),
    value: check(value, `${field}.${key}`),
  }));
  const found = new Map<string, number | undefined>();
  return (name) => {
    if (!found.has(name)) found.set(name, entries.find(({ pattern }) => pattern.test(name))?.value);
    return found.get(name);
  };
}

/** Which modules are meant (peft/tuners/tuners_utils.py, check_target_module_exists). */
function readTargets(fields: ConfigFields): (name: string) => boolean {
  const targets = fields.namesOrPattern('target_modules');
  const inLayers = readLayers(fields);
  const excluded = readExcluded(fields);
  if (targets === undefined) return fields.fail('target_modules', 'is missing');
  if (typeof targets !== 'string') {
    if (targets.length === 0) fields.fail('target_modules', 'is empty');
    // What is named in full is meant whatever its layer.
    return (name) =>
      endsWithOne(name, targets) && (targets.includes(name) || (inLayers?.(name) ?? true)) && !excluded(name);
  }
  if (inLayers) fields.fail('layers_to_transform', 'is only allowed with a list of target_modules');
  if (targets.toLowerCase() === 'all-linear') return (name) => name.includes('layers.') && !excluded(name);
  const pattern = compile(fields, 'target_modules', `^(?:${targets})$`, targets);
  return (name) => pattern.test(name) && !excluded(name);
}

const endsWithOne = (name: string, ends: readonly string[]): boolean =>
  ends.some((end) => name === end || name.endsWith(`.${end}`));

function readExcluded(fields: ConfigFields): (name: string) => boolean {
  const excluded = fields.namesOrPattern('exclude_modules') ?? [];
  if (typeof excluded !== 'string') return (name) => endsWithOne(name, excluded);
  if (excluded === '') return () => false;
  const pattern = compile(fields, 'exclude_modules', `^(?:${excluded})$`, excluded);
  return (name) => pattern.test(name);
}

/** A layer's number is the first that follows a name of `layers_pattern`, or any name without it. */
function readLayers(fields: ConfigFields): ((name: string) => boolean) | undefined {
  const layers = fields.layers('layers_to_transform');
  const named = fields.namesOrPattern('layers_pattern') ?? [];
  const names = typeof named === 'string' ? [named].filter((name) => name !== '') : named;
  if (layers === undefined) {
    if (names.length > 0) fields.fail('layers_pattern', 'needs layers_to_transform');
    return undefined;
  }
  if (layers.length === 0) return undefined;
  const patterns =
    names.length === 0
      ? [/^.*?\.[^.]*\.(?<layer>\d+)\./]
      : names.map((name) => compile(fields, 'layers_pattern', `^(?:^|.*?\\.)${name}\\.(?<layer>\\d+)\\.`, name));
  return (name) => {
    const match = patterns.map((pattern) => pattern.exec(name)).find((found) => found !== null);
    return match?.groups !== undefined && layers.includes(Number(match.groups['layer']));
  };
}

function compile(fields: ConfigFields, field: string, source: string, shown: string): RegExp {
  try {
    return modulePattern(source);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return fields.fail(field, `the pattern ${JSON.stringify(shown.slice(0, 80))}: ${why}`, 'unsupported');
  }
}
