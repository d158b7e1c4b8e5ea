// Many tokens: y[t, row] = weight[row] · x[t]. Each invocation keeps a tile of four rows by four tokens in registers, so
// that a weight is unpacked once for four tokens. x and y are padded to whole tiles of tokens.
fn token_dot(w: Block, token: u32, block: u32) -> f32 {
  let i = (token * BLOCKS + block) * 8u;
  let dots = block_dots(w, Block(x[i], x[i + 1u], x[i + 2u], x[i + 3u], x[i + 4u], x[i + 5u], x[i + 6u], x[i + 7u]));
  return dots.x + dots.y;
}

fn tokens_dot(row: u32, token: u32, block: u32) -> vec4f {
  let w = weight_block(row, block);
  return vec4f(
    token_dot(w, token, block), token_dot(w, token + 1u, block),
    token_dot(w, token + 2u, block), token_dot(w, token + 3u, block));
}

fn store(row: u32, token: u32, values: vec4f) {
  if (row >= params.rows) { return; }
  let column = params.rowStart + row;
  for (var t = 0u; t < 4u; t++) {
    let i = (token + t) * OUTPUT_WIDTH + column;
    var value = values[t] + bias(column);
    if (ACCUMULATE) { value += y[i]; }
    y[i] = value;
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let row = id.x * 4u;
  let token = id.y * 4u;
  if (row >= params.rows) { return; }
  let last = params.rows - 1u;
  var sums0 = vec4f();
  var sums1 = vec4f();
  var sums2 = vec4f();
  var sums3 = vec4f();
  for (var block = 0u; block < BLOCKS; block++) {
    sums0 += tokens_dot(row, token, block);
    sums1 += tokens_dot(min(row + 1u, last), token, block);
    sums2 += tokens_dot(min(row + 2u, last), token, block);
    sums3 += tokens_dot(min(row + 3u, last), token, block);
  }
  store(row, token, sums0);
  store(row + 1u, token, sums1);
  store(row + 2u, token, sums2);
  store(row + 3u, token, sums3);
}
