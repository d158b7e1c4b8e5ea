// Sorts a batch's `routes` by expert: a place in `places` has a route's expert and index; each TILE consecutive places have the
// same expert. Places that fill up an expert's last tile, and those after the last expert, have the index of no route. One
// workgroup with one invocation an expert, so that the order is always the same.
const NO_EXPERT = 0xffffffffu;
var<workgroup> counts: array<u32, EXPERTS>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  for (var expert = local; expert < EXPERTS; expert += WORKGROUP) {
    var count = 0u;
    for (var way = 0u; way < params.ways; way++) { count += select(0u, 1u, routes[way].x == expert); }
    counts[expert] = count;
  }
  workgroupBarrier();
  for (var expert = local; expert < EXPERTS; expert += WORKGROUP) {
    var at = 0u;
    for (var before = 0u; before < expert; before++) { at += (counts[before] + TILE - 1u) / TILE * TILE; }
    for (var way = 0u; way < params.ways; way++) {
      if (routes[way].x == expert) {
        places[at] = vec2u(expert, way);
        at++;
      }
    }
    for (; at % TILE != 0u; at++) { places[at] = vec2u(expert, params.ways); }
    if (expert == EXPERTS - 1u) {
      for (; at < params.places; at++) { places[at] = vec2u(NO_EXPERT, params.ways); }
    }
  }
}
