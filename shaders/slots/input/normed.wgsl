// The input times the weights of its norm; i counts on over the tokens, unless there is but ONE_INPUT.
fn input(i: u32) -> vec4f {
  if (ONE_INPUT) { return x[i] * norm_weight[i]; }
  return x[i] * norm_weight[i % (BLOCKS * 8u)];
}
