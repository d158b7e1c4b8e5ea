/** A dense layer on the CPU: `weight [outputs, inputs]`, `bias [outputs]`. */
export interface Dense {
  weight: Float32Array;
  bias: Float32Array;
}

/**
 * What makes a score of the first token's state x (transformers, modeling_bert.py, BertForSequenceClassification):
 * out(tanh(dense(x))). On the CPU: it multiplies a twelfth of what one token takes of one layer.
 */
export class Classifier {
  constructor(
    private readonly dense: Dense,
    private readonly out: Dense,
  ) {}

  /** The score of a state `[hiddenSize]`: as the model gives it, of any size. */
  score(state: Float32Array): number {
    const [score = NaN] = apply(this.out, apply(this.dense, state).map(Math.tanh));
    return score;
  }
}

/** W · x + b, `[outputs]`. */
function apply({ weight, bias }: Dense, x: Float32Array): Float32Array {
  return bias.map((sum, row) => {
    const start = row * x.length;
    for (let i = 0; i < x.length; i++) sum += weight[start + i]! * x[i]!;
    return sum;
  });
}
