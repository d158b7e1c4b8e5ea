import { describe, expect, it } from 'vitest';
import {
  type ChatCompletionRequest,
  parseChatRequest,
  parseDefaults,
  type RequestDefaults,
  withDefaults,
} from '../../src/api/requests.ts';
import { ChunkwiseError } from '../../src/errors/chunkwise-error.ts';

const messages: ChatCompletionRequest['messages'] = [{ role: 'user', content: 'Hi' }];

/** Options for the engine. */
function optionsOf(defaults: RequestDefaults, request: Partial<ChatCompletionRequest> = {}): object {
  return parseChatRequest(withDefaults({ messages, ...request }, parseDefaults(defaults)), { opensReasoning: false })
    .options;
}

describe("an engine's defaults for its requests", () => {
  it('apply to fields that a request leaves out, budgets with kv: policy', () => {
    const options = optionsOf({ ranks: 'uniform', kvErrorBudget: 0.1, kvMemoryBudget: 5e6 });
    expect(options).toMatchObject({ ranks: 'uniform', kv: 'policy', kvErrorBudget: 0.1, kvMemoryBudget: 5e6 });
  });

  it('change nothing if there are none', () => {
    const { kv, ranks } = optionsOf({}) as Record<string, unknown>;
    expect([kv, ranks]).toEqual([undefined, undefined]);
  });

  it('yield to the request, field by field', () => {
    const defaults = { ranks: 4, kvErrorBudget: 0.1, kvMemoryBudget: 5e6 };
    expect(optionsOf(defaults, { ranks: 'chunkwise', kvErrorBudget: 0.3, kvMemoryBudget: undefined })).toMatchObject({
      ranks: 'chunkwise',
      kv: 'policy',
      kvErrorBudget: 0.3,
      kvMemoryBudget: 5e6,
    });
    const dense = optionsOf(defaults, { kv: 'dense' });
    expect(dense).toMatchObject({ ranks: 4, kv: 'dense' });
    expect(dense).not.toHaveProperty('kvErrorBudget');
    expect(dense).not.toHaveProperty('kvMemoryBudget');
  });

  it('hold a memory budget of a sparse cache, and refuse one of a fixed form', () => {
    expect(optionsOf({}, { kv: 'sparse', kvMemoryBudget: 5e6 })).toMatchObject({ kv: 'sparse', kvMemoryBudget: 5e6 });
    expect(() => optionsOf({}, { kv: 'q4', kvMemoryBudget: 5e6 })).toThrow(
      "is only allowed with kv: 'policy' or 'sparse'",
    );
  });

  it('leave an invalid request to its check', () => {
    const nothing = withDefaults(undefined as unknown as ChatCompletionRequest, { ranks: 4 });
    expect(() => parseChatRequest(nothing, { opensReasoning: false })).toThrow(
      expect.objectContaining({ code: 'bad_request' }) as Error,
    );
  });

  it.each([
    ['ranks', { ranks: -1 }],
    ['kvErrorBudget', { kvErrorBudget: 17 }],
    ['kvMemoryBudget', { kvMemoryBudget: 0.5 }],
  ])('are checked when the engine is created: %s', (field, defaults) => {
    const check = (): RequestDefaults => parseDefaults(defaults);
    expect(check).toThrow(ChunkwiseError);
    expect(check).toThrow(
      expect.objectContaining({ code: 'bad_request', detail: expect.objectContaining({ field }) as object }) as Error,
    );
  });
});
