// h = A · x for the adapters of a tile of tokens, times the components' weights. A workgroup computes sixteen components of
// each linear that reads x, so that x is read once for all of them. Rows of A above the tile's highest rank are not read.
// needs: lora-half, lora-table, tile-inputs, tile-product
// fills: tile-vector
const RUN = 16u;

fn tile_vector(block: u32, column4: u32) -> u32 { return block * 8u + column4; }

fn fill_factors(factors: LoraModule, rank: u32, linear: u32, start: u32, block: u32, worker: u32) {
  for (var i = worker; i < RUN * 8u; i += WORKGROUP) {
    let component = start + i / 8u;
    var values = vec4f();
    if (component < rank) { values = lora_half4(lora[factors.a + (component * BLOCKS + block) * 8u + i % 8u]); }
    put_weights(RUN * linear + i / 8u, i % 8u, values);
  }
}

fn store(token: u32, index: u32, linear: u32, component: u32, factors: LoraModule, sum: f32) {
  if (token >= params.tokens) { return; }
  let at = low_next_at(token, index, linear);
  let row = lora_row(token, index);
  let rank = rank_at(factors, row.level_hi);
  if (component == 0u) { store_head(at, row.stream, rank, factors.b); }
  if (component >= rank) { return; }
  store_component(at, component, sum, row, rank_at(factors, row.level_lo));
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let start = group.x * RUN;
  let first_token = group.y * TILE_TOKENS;
  let index = group.z;
  let adapter = lora_row(first_token, index).adapter;
  var highest = 0u;
  #for n in NEXT_LINEARS
  let factors#n = lora_module(adapter, #nu);
  var rank#n = 0u;
  #end
  for (var i = 0u; i < TILE_TOKENS && first_token + i < params.tokens; i++) {
    let level = lora_row(first_token + i, index).level_hi;
    #for n in NEXT_LINEARS
    rank#n = max(rank#n, rank_at(factors#n, level));
    highest = max(highest, rank#n);
    #end
  }
  if (start < highest) {
    for (var block = 0u; block < BLOCKS; block++) {
      workgroupBarrier(); // other invocations may still read the previous tiles
      #for n in NEXT_LINEARS
      fill_factors(factors#n, rank#n, #nu, start, block, local);
      #end
      fill_inputs(first_token, block, WORKGROUP - 1u - local);
      workgroupBarrier();
      add_products(first_token, local);
    }
  }
  let component = start + local % 16u;
  let token = first_token + local / 16u * 4u;
  #for n in NEXT_LINEARS
  store(token, index, #nu, component, factors#n, sums[#n].x);
  store(token + 1u, index, #nu, component, factors#n, sums[#n].y);
  store(token + 2u, index, #nu, component, factors#n, sums[#n].z);
  store(token + 3u, index, #nu, component, factors#n, sums[#n].w);
  #end
}
