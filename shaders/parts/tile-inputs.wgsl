// The inputs of a tile of tokens: 32 columns of x `[tokens, BLOCKS * 32]`. Past the last token it counts as another time.
// needs: tile-product
fn tile_input(token: u32, at: u32) -> vec4f { return x[min(token, params.tokens - 1u) * BLOCKS * 8u + at]; }

fn fill_inputs(first_token: u32, block: u32, worker: u32) {
  for (var i = worker; i < 8u * TOKEN_GROUPS; i += WORKGROUP) {
    let token = first_token + i / 8u * 4u;
    let at = block * 8u + i % 8u;
    put_inputs(i / 8u, i % 8u, mat4x4f(
      tile_input(token, at), tile_input(token + 1u, at), tile_input(token + 2u, at), tile_input(token + 3u, at)));
  }
}
