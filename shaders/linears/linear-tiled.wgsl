// Many tokens: y[t, row] = weight[row] · x[t]. A workgroup computes a tile of rows and tokens; a weight is unpacked once
// for all of the tile's tokens.
// needs: bias, block, codes, scales, tile-inputs, tile-lora, tile-product
fn fill_weights(first_row: u32, block: u32, worker: u32) {
  for (var i = worker; i < TILE_ROWS; i += WORKGROUP) {
    let row = min(first_row + i, params.rows - 1u);
    let scale = scales(row, block);
    let low = scale.x * CODE_STEP;
    let high = scale.y * CODE_STEP;
    // Asked for twice, that no more than half a block is in registers at a time; it is read once.
    let w = codes(row, block);
    put_weights(i, 0u, w.a * low + scale.z);
    put_weights(i, 1u, w.b * low + scale.z);
    put_weights(i, 2u, w.c * low + scale.z);
    put_weights(i, 3u, w.d * low + scale.z);
    let v = codes(row, block);
    put_weights(i, 4u, v.e * high + scale.z);
    put_weights(i, 5u, v.f * high + scale.z);
    put_weights(i, 6u, v.g * high + scale.z);
    put_weights(i, 7u, v.h * high + scale.z);
  }
}

fn store(token: u32, row: u32, sum: f32) {
  if (token >= params.tokens) { return; }
  let column = params.rowStart + row;
  let at = token * params.outputWidth + column;
  var value = sum * params.scale + bias(column);
  if (ACCUMULATE) { value += y[at]; }
  y[at] = value;
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let first_row = group.x * TILE_ROWS;
  let first_token = group.y * TILE_TOKENS;
  for (var block = 0u; block < BLOCKS; block++) {
    // Invocations from the one end fill weights, those from the other inputs; then they change ends.
    let worker = (local + (block & 1u) * (WORKGROUP / 2u)) % WORKGROUP;
    workgroupBarrier(); // the tiles before may still be being read
    fill_weights(first_row, block, worker);
    fill_inputs(first_token, block, WORKGROUP - 1u - worker);
    workgroupBarrier();
    add_products(first_token, local);
  }
  add_lora(params.rowStart + first_row, first_token, local);
  let token = first_token + local / 16u * 4u;
  #for r in ROWS_EACH
  let row#r = first_row + local % 16u + 16u * #ru;
  if (row#r < params.rows) {
    store(token, row#r, sums[#r].x);
    store(token + 1u, row#r, sums[#r].y);
    store(token + 2u, row#r, sums[#r].z);
    store(token + 3u, row#r, sums[#r].w);
  }
  #end
}
