/** Shannon entropy of softmax(logits) over that of the uniform distribution. */
export function normalizedEntropy(logits: ArrayLike<number> & Iterable<number>): number {
  let maximum = -Infinity;
  for (const logit of logits) maximum = Math.max(maximum, logit);
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - maximum);
  let entropy = 0;
  for (const logit of logits) {
    const p = Math.exp(logit - maximum) / sum;
    if (p > 0) entropy -= p * Math.log(p);
  }
  return logits.length > 1 ? entropy / Math.log(logits.length) : 0;
}
