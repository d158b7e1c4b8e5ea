import type { ResponseFormat } from '@mlc-ai/web-llm';
import type * as Own from '../api/types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** web-llm's form, whose schemas are text, as OpenAI's. Throws `bad_request`, `unsupported`. */
export function ownFormat({ type = 'text', schema, grammar = '' }: ResponseFormat): Own.ResponseFormat {
  if (type === 'grammar') return { type, grammar };
  if (type === 'json_object' && schema !== undefined)
    return { type: 'json_schema', json_schema: { name: 'answer', schema: parsed(schema) } };
  if (type === 'structural_tag') {
    throw new ChunkwiseError('unsupported', {
      field: 'response_format.type',
      reason: 'structural_tag is for models in MLC format only',
    });
  }
  return { type };
}

function parsed(schema: string): Own.JsonSchema {
  try {
    return JSON.parse(schema) as Own.JsonSchema;
  } catch (cause) {
    throw new ChunkwiseError(
      'bad_request',
      { field: 'response_format.schema', reason: `is not JSON: ${String(cause)}` },
      { cause },
    );
  }
}
