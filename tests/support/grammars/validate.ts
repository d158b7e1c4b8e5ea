import { Ajv2020 } from 'ajv/dist/2020.js';
import { fullFormats } from 'ajv-formats/dist/formats.js';

/** Parses an answer and returns its violations of the schema, none if it is valid. */
export function faultsOf(answer: string, schema: object): string[] {
  const ajv = new Ajv2020({ allErrors: true, strictTuples: false, allowUnionTypes: true, formats: fullFormats });
  const value: unknown = JSON.parse(answer);
  return ajv.validate(schema, value)
    ? []
    : (ajv.errors ?? []).map(({ instancePath, message = '' }) => `${instancePath} ${message}`);
}
