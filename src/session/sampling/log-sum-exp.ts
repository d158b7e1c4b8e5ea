/** Natural logarithm of the sum of the exponentials. */
export function logSumExp(logits: Float32Array): number {
  let maximum = -Infinity;
  for (const logit of logits) if (logit > maximum) maximum = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - maximum);
  return Math.log(sum) + maximum;
}
