// Masks the tokens below the key of the filter's cut; of the tokens at the key it keeps the first ones that the goal needs.
// needs: filter-cut, largest-logit, sampling
var<workgroup> ties_before: atomic<u32>;
var<workgroup> tied: array<atomic<u32>, TILE / 32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let search = next_search(4u, lane);
  let each = weight_of(value_of(search.key), largest_logit(lane));
  let bin = search.key & 255u;
  for (var before = lane; before < group.x; before += LANES) { atomicAdd(&ties_before, ties[before * BINS + bin]); }
  let tile = tile_of(group.x);
  let row = params.row * VOCAB;
  for (var i = tile.start + lane; i < tile.end; i += LANES) {
    let logit = logits[row + i];
    let key = order_key(logit);
    let place = i - tile.start;
    if (key == search.key) { atomicOr(&tied[place / 32u], 1u << (place & 31u)); }
    if (key < search.key) { logits[row + i] = MASKED; }
  }
  workgroupBarrier();
  for (var i = tile.start + lane; i < tile.end; i += LANES) {
    if (order_key(logits[row + i]) != search.key) { continue; }
    let place = i - tile.start;
    var rank = atomicLoad(&ties_before);
    for (var word = 0u; word < place / 32u; word++) { rank += countOneBits(atomicLoad(&tied[word])); }
    rank += countOneBits(atomicLoad(&tied[place / 32u]) & ((1u << (place & 31u)) - 1u));
    if (rank != 0u && !is_less(carried(search.above + rank * each), search.goal)) { logits[row + i] = MASKED; }
  }
}
