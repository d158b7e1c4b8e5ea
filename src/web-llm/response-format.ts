import type { ResponseFormat } from '@mlc-ai/web-llm';
import type * as Own from '../api/types.ts';
import { ChunkwiseError } from '../errors/chunkwise-error.ts';

/** web-llm's declaration takes the tag's type from a package that it does not install. */
type Format = Omit<ResponseFormat, 'structural_tag'> & { structural_tag?: unknown };

/** web-llm's form, whose schemas are text, as OpenAI's. Throws `bad_request`. */
export function ownFormat({ type = 'text', schema, grammar = '', structural_tag: tag }: Format): Own.ResponseFormat {
  if (type === 'grammar') return { type, grammar };
  if (type === 'json_object' && schema !== undefined)
    return { type: 'json_schema', json_schema: { name: 'answer', schema: parsed(schema, 'schema') as Own.JsonSchema } };
  if (type === 'structural_tag') {
    const format = typeof tag === 'string' ? parsed(tag, 'structural_tag') : tag;
    return { type, ...(isWhole(format) ? format : { format: format as object }) };
  }
  return { type };
}

/** A tag's definition; otherwise it is the format within one. */
const isWhole = (tag: unknown): tag is { format: object } => typeof tag === 'object' && tag !== null && 'format' in tag;

function parsed(text: string, field: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ChunkwiseError(
      'bad_request',
      { field: `response_format.${field}`, reason: `is not JSON: ${String(cause)}` },
      { cause },
    );
  }
}
