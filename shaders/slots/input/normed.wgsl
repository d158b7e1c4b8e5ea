// The input times the weights of its norm; i counts on over the tokens.
fn input(i: u32) -> vec4f {
  if (TOKENS == 1u) { return x[i] * norm_weight[i]; }
  return x[i] * norm_weight[i % (BLOCKS * 8u)];
}
