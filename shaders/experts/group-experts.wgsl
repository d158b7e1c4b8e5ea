// The ways of a batch's tokens through their experts, `routes`, sorted by expert: `places` has a way's expert and its number,
// so that TILE of them one after another are of one expert. Where an expert has no more of them, and behind the last one,
// the number is that of none. One workgroup; an invocation an expert, so that the order is always the same.
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
