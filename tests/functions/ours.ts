import { readFunctionConfig } from '../../src/functions/function-config.ts';
import { rewrite, type FunctionDocument } from '../../src/functions/rewrite.ts';
import { type AnswerToken, transform } from '../../src/functions/transform.ts';
import type { ReferenceCase } from './reference.ts';

/** The request and the result that this package makes, in the reference's form. */
export function ours({ yaml, request, arguments: args = {}, answer, logprobs }: ReferenceCase): {
  request: object;
  result: unknown;
} {
  const config = readFunctionConfig(yaml, 'io.yaml');
  const { messages: talk, extra_body: extra, ...fields } = request;
  const asked = rewrite(config, talk, extra?.documents as FunctionDocument[] | undefined, args);
  const kept = Object.entries(extra ?? {}).filter(([name]) => name !== 'documents');
  const hasLogprobs = config.transformations.some(({ type }) => type === 'likelihood');
  const body = {
    ...Object.fromEntries(kept),
    ...(asked.documents && { documents: asked.documents }),
    ...config.extraParameters,
    ...(config.schema !== undefined && { structured_outputs: { json: config.schema } }),
  };
  return {
    request: {
      ...fields,
      messages: asked.messages,
      ...config.parameters,
      ...(hasLogprobs && { logprobs: true, top_logprobs: 10 }),
      ...((extra || Object.keys(body).length > 0) && { extra_body: body }),
    },
    result:
      answer === undefined
        ? undefined
        : transform(config, {
            content: answer,
            tokens: logprobs as AnswerToken[] | undefined,
            sentencesOf: (places) => asked.sentencesOf(places),
          }),
  };
}
