/** Schemas of different features with finite answers: lists and strings are bounded. */
const text = (maxLength: number) => ({ type: 'string', maxLength });
const object = (properties: Record<string, unknown>, required = Object.keys(properties), rest: object = {}) => ({
  ...{ type: 'object', properties, required, additionalProperties: false },
  ...rest,
});

export const SCHEMAS: Readonly<Record<string, object>> = {
  person: object({ name: text(20), age: { type: 'integer', minimum: 0, maximum: 150 } }),
  nested: object({
    place: object({
      city: text(16),
      at: object({
        lat: { type: 'number', minimum: -90, maximum: 90 },
        lon: { type: 'number', minimum: -180, maximum: 180 },
      }),
    }),
  }),
  'array with bounds': { type: 'array', items: { type: 'integer', minimum: 1, maximum: 6 }, minItems: 2, maxItems: 5 },
  enumeration: object({
    colour: { enum: ['red', 'green', 'deep blue'] },
    size: { type: ['string', 'null'], enum: ['S', 'M', null] },
  }),
  constant: object({ version: { const: 2 }, kind: { const: 'a "quoted" \\ kind' }, ok: { type: 'boolean' } }),
  'optional fields': object(
    { a: { type: 'integer', minimum: 0, maximum: 9 }, b: text(5), c: { type: 'null' }, d: { type: 'boolean' } },
    ['c'],
  ),
  'negative integers': object({
    above: { type: 'integer', minimum: -5, maximum: 120 },
    below: { type: 'integer', maximum: -17, minimum: -2040 },
  }),
  'decimal bounds': object({
    share: { type: 'number', minimum: 0, exclusiveMaximum: 1 },
    change: { type: 'number', exclusiveMinimum: -1.5, maximum: 0.25 },
  }),
  'any of': object({
    id: {
      anyOf: [
        { type: 'integer', minimum: 1, maximum: 999 },
        { type: 'string', pattern: '^[A-Z]{2}-\\d{3}$' },
        { type: 'null' },
      ],
    },
  }),
  'one of, by a tag': {
    oneOf: [
      object({ type: { const: 'circle' }, radius: { type: 'integer', minimum: 1, maximum: 50 } }),
      object({ type: { const: 'square' }, side: { type: 'integer', minimum: 1, maximum: 50 } }),
    ],
  },
  patterns: object({
    phone: { type: 'string', pattern: '^\\+?[0-9]{3}(-[0-9]{2,4}){2}$' },
    code: { type: 'string', pattern: '^(?:ab|c[^d"]){1,3}.?\\\\$' },
  }),
  lengths: object({
    short: { type: 'string', minLength: 3, maxLength: 3 },
    long: { type: 'string', minLength: 1, maxLength: 24 },
  }),
  references: {
    ...object({ home: { $ref: '#/$defs/address' }, work: { $ref: '#/$defs/address' } }),
    $defs: {
      address: object({ street: text(12), number: { $ref: '#/$defs/number' } }),
      number: { type: 'integer', minimum: 1, maximum: 300 },
    },
  },
  recursive: {
    $ref: '#/$defs/node',
    $defs: {
      node: object({
        value: { type: 'integer', minimum: 0, maximum: 9 },
        next: { anyOf: [{ type: 'null' }, { $ref: '#/$defs/node' }] },
      }),
    },
  },
  'an $id, where references begin anew': {
    ...object({
      outer: { $ref: '#/$defs/item' },
      inner: {
        $id: 'https://example.com/inner',
        ...object({ item: { $ref: '#/$defs/item' }, more: { anyOf: [{ type: 'null' }, { $ref: '#' }] } }),
        $defs: { item: text(4) },
      },
    }),
    $defs: { item: { type: 'integer', minimum: 1, maximum: 9 } },
  },
  'further properties': object({ id: { type: 'integer', minimum: 0, maximum: 9 } }, ['id'], {
    additionalProperties: { type: 'boolean' },
  }),
  tuple: {
    type: 'array',
    prefixItems: [{ enum: ['x', 'y'] }, { type: 'boolean' }],
    items: { type: 'null' },
    minItems: 2,
    maxItems: 4,
  },
  'list of objects': {
    type: 'array',
    items: object({
      word: { type: 'string', pattern: '^[a-z]{1,8}$' },
      count: { type: 'integer', minimum: 1, maximum: 20 },
    }),
    minItems: 1,
    maxItems: 3,
  },
  dates: object({ day: { type: 'string', format: 'date' }, at: { type: 'string', format: 'date-time' } }),
  identifiers: object({
    id: { type: 'string', format: 'uuid' },
    mail: { type: 'string', format: 'email' },
    host: { type: 'string', format: 'ipv4' },
  }),
  'a value of some type': { type: ['integer', 'boolean', 'string'], minimum: 0, maximum: 99, maxLength: 10 },
};
