// y[t] = row of the embedding matrix for the t-th token of the batch. One invocation a token and block of 32 columns.
//   SCALE  factor of the rows; 1 in most models.
// needs: block, weight-block
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let block = id.x;
  let token = id.y;
  let row = tokens[batch_table[token].x] - params.rowStart; // wraps around if the row is in an earlier slice
  if (block >= BLOCKS || row >= params.rows) { return; }
  var w = weight_block(row, block);
  if (SCALE != 1.0) { w = block_times(w, vec4f(SCALE)); }
  let i = (token * BLOCKS + block) * 8u;
  y[i] = w.a;
  y[i + 1u] = w.b;
  y[i + 2u] = w.c;
  y[i + 3u] = w.d;
  y[i + 4u] = w.e;
  y[i + 5u] = w.f;
  y[i + 6u] = w.g;
  y[i + 7u] = w.h;
}
