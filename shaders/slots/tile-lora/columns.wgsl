// B · h of a tile's tokens, for every adapter of their mix, as further columns of the tile's product: B is the weights, h
// the inputs. Columns of B are read up to the highest rank in the tile; a token takes none above its own.
// needs: lora-half, lora-linear, tile-product
fn highest_rank(first_token: u32, index: u32, linear: u32) -> u32 {
  var rank = 0u;
  for (var i = 0u; i < TILE_TOKENS && first_token + i < params.tokens; i++) {
    rank = max(rank, low[low_at(first_token + i, index, linear)]);
  }
  return rank;
}

// Component k of h; 0 where the token does not take it.
fn low_or_zero(at: u32, k: u32, rank: u32) -> f32 {
  if (k >= rank) { return 0.0; }
  return low_component(at, k);
}

fn low_components(token: u32, index: u32, linear: u32, k: u32) -> vec4f {
  if (token >= params.tokens) { return vec4f(); }
  let at = low_at(token, index, linear);
  let rank = low[at];
  return vec4f(
    low_or_zero(at, k, rank), low_or_zero(at, k + 1u, rank), low_or_zero(at, k + 2u, rank), low_or_zero(at, k + 3u, rank));
}

fn fill_low(first_token: u32, index: u32, linear: u32, first: u32, worker: u32) {
  for (var i = worker; i < 8u * TOKEN_GROUPS; i += WORKGROUP) {
    let token = first_token + i / 8u * 4u;
    let k = first + i % 8u * 4u;
    put_inputs(i / 8u, i % 8u, mat4x4f(
      low_components(token, index, linear, k), low_components(token + 1u, index, linear, k),
      low_components(token + 2u, index, linear, k), low_components(token + 3u, index, linear, k)));
  }
}

// Four outputs of component k of B; zeros where it is not to be read.
fn lora_column(at: u32, k: u32, rank: u32) -> vec4f {
  if (k >= rank) { return vec4f(); }
  return lora_half4(lora[at]);
}

// `b`: where the linear's B `[rank, width]` starts. Rows of another linear get zeros.
fn fill_columns(first_row: u32, linear: LoraLinear, b: u32, first: u32, rank: u32, worker: u32) {
  for (var i = worker; i < 2u * TILE_ROWS; i += WORKGROUP) {
    let row4 = i % (TILE_ROWS / 4u);
    let column4 = i / (TILE_ROWS / 4u);
    let row = first_row + 4u * row4;
    let is_own = row >= linear.start && row < linear.start + linear.width;
    let k = first + 4u * column4;
    let taken = select(0u, rank, is_own);
    let step = linear.width / 4u;
    let at = b + (row - linear.start) / 4u + k * step;
    let columns = mat4x4f(
      lora_column(at, k, taken), lora_column(at + step, k + 1u, taken),
      lora_column(at + 2u * step, k + 2u, taken), lora_column(at + 3u * step, k + 3u, taken));
    let rows = transpose(columns);
    put_weights(4u * row4, column4, rows[0]);
    put_weights(4u * row4 + 1u, column4, rows[1]);
    put_weights(4u * row4 + 2u, column4, rows[2]);
    put_weights(4u * row4 + 3u, column4, rows[3]);
  }
}

fn add_lora(first_row: u32, first_token: u32, local: u32) {
  for (var i = 0u; i < NUM_LINEARS; i++) {
    let linear = lora_linear(i);
    if (first_row + TILE_ROWS <= linear.start || first_row >= linear.start + linear.width) { continue; }
    for (var index = 0u; index < params.adapters; index++) {
      let rank = highest_rank(first_token, index, i);
      let b = low[low_at(first_token, index, i) + 1u];
      for (var first = 0u; first < rank; first += 32u) {
        workgroupBarrier(); // the tiles before may still be being read
        fill_columns(first_row, linear, b, first, rank, local);
        fill_low(first_token, index, i, first, WORKGROUP - 1u - local);
        workgroupBarrier();
        add_products(first_token, local);
      }
    }
  }
}
