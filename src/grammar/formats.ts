const DATE = '\\d{4}-((0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|(0[469]|11)-(0[1-9]|[12]\\d|30)|02-(0[1-9]|1\\d|2[0-8]))';
const TIME = '([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,3})?(Z|[+-](0\\d|1[0-3]):[0-5]\\d)';
const LABEL = '[a-z0-9]{1,20}(-{1,2}[a-z0-9]{1,10}){0,2}';
const BYTE = '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)';

/** Regular expressions of the values of `format` that are kept to; of some, less than the format allows. */
export const FORMATS: Readonly<Record<string, string>> = {
  date: DATE,
  time: TIME,
  'date-time': `${DATE}T${TIME}`,
  email: `[a-z0-9_+-]{1,32}(\\.[a-z0-9_+-]{1,32}){0,2}@${LABEL}(\\.${LABEL}){1,3}`,
  hostname: `${LABEL}(\\.${LABEL}){0,4}`,
  ipv4: `${BYTE}(\\.${BYTE}){3}`,
  uri: `https?://${LABEL}(\\.${LABEL}){1,3}(/[a-zA-Z0-9_~.-]{1,40}){0,5}`,
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}',
};
