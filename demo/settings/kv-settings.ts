import { type CompletionOptions, DEFAULT_KV_ERROR_BUDGET } from '../../src/api/index.ts';
import { byId } from '../basics/dom.ts';

const MODES = ['dense', 'policy', 'q8', 'q4', 'sparse'] as const;

/** Settings of the KV cache. */
export interface KvChoice {
  kv: (typeof MODES)[number];
  kvErrorBudget: number;
  /** Megabytes; 0: no limit. */
  kvMemory: number;
  kvPriority: 'error' | 'memory';
}

export const DEFAULT_KV: KvChoice = {
  kv: 'policy',
  kvErrorBudget: DEFAULT_KV_ERROR_BUDGET,
  kvMemory: 0,
  kvPriority: 'error',
};

/** The KV cache part of the settings dialog. */
export class KvSettings {
  private readonly mode = byId('kv', HTMLSelectElement);
  private readonly budgets = byId('kv-budgets', HTMLElement);
  private readonly errorBudget = byId('kv-error-budget', HTMLInputElement);
  private readonly memory = byId('kv-memory-budget', HTMLInputElement);
  private readonly priority = byId('kv-priority', HTMLSelectElement);
  /** Settings of `policy` alone. */
  private readonly ofPolicy = ['kv-error-setting', 'kv-priority-setting'].map((id) => byId(id, HTMLElement));

  get values(): KvChoice {
    return {
      kv: MODES.find((mode) => mode === this.mode.value) ?? DEFAULT_KV.kv,
      kvErrorBudget: this.errorBudget.valueAsNumber,
      kvMemory: this.memory.valueAsNumber,
      kvPriority: this.priority.value === 'memory' ? 'memory' : 'error',
    };
  }

  show({ kv, kvErrorBudget, kvMemory, kvPriority }: KvChoice): void {
    this.mode.value = kv;
    this.errorBudget.valueAsNumber = kvErrorBudget;
    this.memory.valueAsNumber = kvMemory;
    this.priority.value = kvPriority;
  }

  showValues(): void {
    const { kv, kvErrorBudget, kvMemory } = this.values;
    const memory = kvMemory === 0 ? 'no limit' : `${kvMemory} MB`;
    this.budgets.hidden = kv !== 'policy' && kv !== 'sparse';
    for (const setting of this.ofPolicy) setting.hidden = kv !== 'policy';
    // Not hidden, because that would move the page during a drag.
    this.priority.disabled = kvMemory === 0;
    byId('kv-error-budget-value', HTMLOutputElement).value = `${kvErrorBudget.toFixed(2)} %`;
    byId('kv-memory-budget-value', HTMLOutputElement).value = memory;
    this.memory.ariaValueText = memory;
  }
}

/** KV options of a request; only `policy` and `sparse` have budgets. */
export function kvOptions({
  kv,
  kvErrorBudget,
  kvMemory,
  kvPriority,
}: KvChoice): Pick<CompletionOptions, 'kv' | 'kvErrorBudget' | 'kvMemoryBudget' | 'kvPriority'> {
  const limit = kvMemory > 0 && { kvMemoryBudget: kvMemory * 1e6 };
  if (kv === 'sparse') return { kv, ...limit };
  if (kv !== 'policy') return { kv };
  return { kv, kvErrorBudget, ...(limit && { ...limit, kvPriority }) };
}
