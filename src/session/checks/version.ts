/** Version of the self-checks: devices that passed another version are checked again. A test compares it with the hash of the checks' text. */
export const CHECKS = 'd813394d';
