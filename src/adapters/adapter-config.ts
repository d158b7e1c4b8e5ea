import { FILE_NESTING, isNestedDeeper } from '../util/values.ts';
import { ChunkwiseError, type ErrorCode } from '../errors/chunkwise-error.ts';

/** The fields of adapter_config.json (peft/tuners/lora/config.py) that inference needs. */
export interface AdapterConfig {
  readonly rank: number;
  readonly alpha: number;
  readonly useRslora: boolean;
  readonly baseModel?: string;
  /** Activated LoRA: the invocation tokens; see `Invocation`. */
  readonly invocationTokens?: readonly number[];
  /** Temperatures of decisions by type of question; this package's own field. */
  readonly decisionTemperatures?: DecisionTemperatures;
  /** Whether the adapter targets a module of this name (`model.layers.0.self_attn.q_proj`). */
  isTargeted: (name: string) => boolean;
  /** A module's rank, and the scale of its B · A. */
  rankOf: (name: string) => number;
  scaleOf: (name: string) => number;
}

/** Divisors of the answers' log-probabilities, by type of question; see `DecisionQuestion`. */
export type DecisionTemperatures = Readonly<Partial<Record<'predicate' | 'choice' | 'score', number>>>;

/** Fields of PEFT 0.21 (tuners/lora/config.py) that, if set, change what LoRA computes. */
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

/** Fields that matter only in training or to other software; the last three are ms-swift's. */
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

/** The field of activated LoRA. */
export const INVOCATION_FIELD = 'alora_invocation_tokens';

/** Most rank or alpha patterns; more than any model has linears. */
const MOST_PATTERNS = 8192;

/** Initializations of PEFT 0.21 that do not change the base, so that the adapter file is complete. */
const KEEPS_BASE = ['gaussian', 'eva', 'orthogonal', 'mica'];

/**
 * Parses the text of an adapter_config.json. `file`: name in errors. Errors: `bad_file`, and `unsupported` for settings that
 * this runtime does not support, naming the field.
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

/** Highest temperature that a request may set. */
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
 * PiSSA, OLoRA, CorDA, LoftQ and LoRA-GA subtract the adapter's initial value from the base's weights, so their files fit
 * only the changed base (peft/tuners/lora/layer.py, update_layer). Unknown initializations may do the same.
 */
function checkInit(fields: ConfigFields): void {
  const init = fields.get('init_lora_weights') ?? true;
  if (typeof init === 'boolean' || (typeof init === 'string' && KEEPS_BASE.includes(init.toLowerCase()))) return;
  const reason = `${JSON.stringify(init).slice(0, 40)} may change the base's weights too; save the adapter as plain LoRA (PEFT: save_pretrained with path_initial_model_for_weight_conversion)`;
  fields.fail('init_lora_weights', reason, 'unsupported');
}

/** Refuses unknown fields that are set: a later PEFT may change with them what an adapter computes. */
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

/** Reads a pattern table: a module's value is that of the first key that matches the end of its name (peft/utils/other.py, get_pattern_key). */
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

/** Which modules are targeted (peft/tuners/tuners_utils.py, check_target_module_exists). */
function readTargets(fields: ConfigFields): (name: string) => boolean {
  const targets = fields.namesOrPattern('target_modules');
  const inLayers = readLayers(fields);
  const excluded = readExcluded(fields);
  if (targets === undefined) return fields.fail('target_modules', 'is missing');
  if (typeof targets !== 'string') {
    if (targets.length === 0) fields.fail('target_modules', 'is empty');
    // A full name is targeted in any layer.
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

/** A module's layer number is the first number after a name of `layers_pattern`, or after any name without that field. */
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

/** Highest rank of a module. */
export const MAX_RANK = 256;
/** Numbers that Python's json module writes but JSON does not have. */
const PYTHON_NUMBER = /"([^"]{1,100})"\s*:\s*(-?(?:NaN|Infinity))\b/;

/** Typed access to the fields of a JSON object. A null counts as missing. */
class ConfigFields {
  readonly #read = new Set<string>();

  private constructor(
    /** Name in errors. */
    readonly file: string,
    private readonly values: Readonly<Record<string, unknown>>,
  ) {}

  static parse(text: string, file: string): ConfigFields {
    let values: unknown;
    try {
      values = JSON.parse(text);
    } catch (error) {
      const [, field, number] = PYTHON_NUMBER.exec(text) ?? [];
      const reason = number
        ? `is ${number}, which must be a finite number`
        : `is not JSON: ${error instanceof Error ? error.message : String(error)}`;
      throw new ChunkwiseError('bad_file', { file, field, reason }, { cause: error });
    }
    if (isNestedDeeper(values, FILE_NESTING)) {
      throw new ChunkwiseError('bad_file', { file, reason: `is nested more than ${FILE_NESTING} deep` });
    }
    if (typeof values === 'object' && values !== null && !Array.isArray(values)) {
      return new ConfigFields(file, values as Record<string, unknown>);
    }
    throw new ChunkwiseError('bad_file', { file, reason: 'is not a JSON object' });
  }

  get(field: string): unknown {
    this.#read.add(field);
    return (Object.hasOwn(this.values, field) ? this.values[field] : undefined) ?? undefined;
  }

  /** Whether a field is set: not null, false, zero or empty. */
  isSet(field: string): boolean {
    return isSet(this.get(field));
  }

  /** Fields that are set, were not read, and are not in `known`. */
  unread(known: readonly string[]): string[] {
    return Object.keys(this.values).filter(
      (field) => isSet(this.values[field]) && !this.#read.has(field) && !known.includes(field),
    );
  }

  optionalString(field: string): string | undefined {
    const value = this.get(field);
    return value === undefined || typeof value === 'string' ? value : this.fail(field, 'must be a string');
  }

  boolean(field: string): boolean {
    const value = this.get(field) ?? false;
    return typeof value === 'boolean' ? value : this.fail(field, 'must be true or false');
  }

  number(field: string, fallback: number): number {
    return this.checkNumber(this.get(field) ?? fallback, field);
  }

  rank(field: string, fallback: number): number {
    return this.checkRank(this.get(field) ?? fallback, field);
  }

  checkNumber(value: unknown, field: string): number {
    // JSON can express infinity as 1e999.
    return typeof value === 'number' && Number.isFinite(value) ? value : this.fail(field, 'must be a finite number');
  }

  checkRank(value: unknown, field: string): number {
    if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= MAX_RANK) return value;
    return this.fail(field, `a rank must be a whole number from 1 to ${MAX_RANK}, not ${describe(value)}`);
  }

  object(field: string): Record<string, unknown> {
    const value = this.get(field) ?? {};
    if (typeof value === 'object' && !Array.isArray(value)) return value as Record<string, unknown>;
    return this.fail(field, 'must be an object');
  }

  namesOrPattern(field: string): string | readonly string[] | undefined {
    const value = this.get(field);
    if (value === undefined || typeof value === 'string') return value;
    if (Array.isArray(value) && value.every((item): item is string => typeof item === 'string')) return value;
    return this.fail(field, 'must be a string or a list of strings');
  }

  /** One or several layer numbers. */
  layers(field: string): readonly number[] | undefined {
    const value = this.get(field);
    if (value === undefined) return undefined;
    const layers: unknown[] = Array.isArray(value) ? value : [value];
    if (layers.every((item): item is number => Number.isInteger(item) && (item as number) >= 0)) return layers;
    return this.fail(field, 'must be the numbers of layers');
  }

  /** A non-empty list of token ids. */
  tokens(field: string): readonly number[] | undefined {
    const value = this.get(field);
    return value === undefined || isTokens(value) ? value : this.fail(field, NO_TOKENS);
  }

  fail(field: string, reason: string, code: ErrorCode = 'bad_file'): never {
    throw new ChunkwiseError(code, { file: this.file, field: field.slice(0, 200), reason });
  }
}

/** Whether a value is a non-empty list of token ids. */
export const isTokens = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.length > 0 && value.every((item) => Number.isSafeInteger(item) && item >= 0);

/** The error if it is not. */
export const NO_TOKENS = 'must be a list of ids of tokens, at least one';

function isSet(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

const describe = (value: unknown): string => (JSON.stringify(value) ?? 'nothing').slice(0, 40);

/** Python's regex syntax that differs from JavaScript's. */
const RESPELLED: readonly [RegExp, string][] = [
  [/\(\?P</g, '(?<'],
  [/\\A/g, '^'],
  [/\\Z/g, '$'],
];
const MAX_LENGTH = 4000;
/** Most positions in a name at which a repetition can end. */
const NAME_CHARS = 40;
/** Most backtracking paths of a pattern on a name: four adjacent repetitions and two choices. */
const MAX_PATHS = 4 * NAME_CHARS ** 4;
/** Openings of groups, and the tokens of a pattern without classes and escapes. */
const GROUP = /\(\?(?:[:=!]|<[=!]|<\w+>)/g;
const STEPS = /[()|]|(?:[*+]|\{\d+(?:,\d*)?\})\??|\?|[^()|*+{?]+|\{/g;

/**
 * Compiles a regular expression of an adapter's config, in the syntax of Python's `re`. Throws a SyntaxError for syntax that
 * JavaScript does not support, and for patterns whose backtracking could take very long.
 */
function modulePattern(source: string): RegExp {
  if (source.length > MAX_LENGTH) throw new SyntaxError(`a pattern of ${source.length} characters`);
  const respelled = RESPELLED.reduce((text, [from, to]) => text.replace(from, to), source);
  const pattern = new RegExp(respelled);
  // Reduce classes, escapes and group openings, which add no choices.
  const bare = respelled
    .replace(/\\[a-z0-9]/gi, '.')
    .replace(/\\./g, '-')
    .replace(/\[[^\]]*\]/g, '.')
    .replace(GROUP, '(');
  // A repeated group can take time exponential in the name's length.
  if (/\)(?:[*+]|\{)/.test(bare)) throw new SyntaxError('a repeated group is not taken');
  if (pathsOf(bare) > MAX_PATHS) throw new SyntaxError('has too many repetitions and choices');
  return pattern;
}

/** State of a group, or of the whole pattern, while it is parsed. */
interface Choice {
  /** Paths through the finished alternatives. */
  paths: number;
  /** Paths through the current alternative. */
  current: number;
  texts: string[];
}

/** Most paths through a pattern: products over sequences, sums over alternatives. */
function pathsOf(bare: string): number {
  const begin = (): Choice => ({ paths: 0, current: 1, texts: [''] });
  let choice = begin();
  const around: Choice[] = [];
  for (const [step] of bare.matchAll(STEPS)) {
    if (step === '(') {
      around.push(choice);
      choice = begin();
    } else if (step === ')') {
      const paths = endOf(choice);
      choice = around.pop() ?? begin();
      choice.current *= paths;
      choice.texts.push(`${choice.texts.pop()}()`);
    } else if (step === '|') {
      choice.paths += choice.current;
      choice.current = 1;
      choice.texts.push('');
    } else {
      if (step === '?') choice.current *= 2;
      else if (/^[*+{]/.test(step)) choice.current *= NAME_CHARS;
      choice.texts.push(choice.texts.pop() + step);
    }
  }
  return endOf(choice);
}

/** Paths through a finished group. Alternatives that are words without common prefixes count as one, since only one can match. */
function endOf({ paths, current, texts }: Choice): number {
  const sorted = [...texts].sort();
  const isWords =
    texts.every((text) => /^[\w-]+$/.test(text)) && sorted.every((text, i) => !sorted[i + 1]?.startsWith(text));
  return isWords ? 1 : paths + current;
}
