/** Which checks these are: what others found is found again. The hash of their texts, as a test has it. */
export const CHECKS = 'b2bb5fc9';
