// The inputs of a tile of tokens: 32 columns of x `[tokens, BLOCKS * 32]`, of which `tile_vector` says which four the
// `column4`th of a step are. Past the last token it counts as another time.
// needs: tile-product, tile-vector
const TOKEN_VECTORS = BLOCKS * 8u;

fn fill_inputs(first_token: u32, step: u32, worker: u32) {
  for (var i = worker; i < 8u * TOKEN_GROUPS; i += WORKGROUP) {
    // Places are compared, not tokens: of each token something would stay in a register.
    let column = tile_vector(step, i % 8u);
    let last = (params.tokens - 1u) * TOKEN_VECTORS + column;
    let at = (first_token + i / 8u * 4u) * TOKEN_VECTORS + column;
    put_inputs(i / 8u, i % 8u, mat4x4f(
      x[min(at, last)], x[min(at + TOKEN_VECTORS, last)], x[min(at + 2u * TOKEN_VECTORS, last)], x[min(at + 3u * TOKEN_VECTORS, last)]));
  }
}
