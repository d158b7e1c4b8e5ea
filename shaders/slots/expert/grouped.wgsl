// As routed.wgsl, for ways that are sorted by expert: of a place `routes` has its expert and the way's number. Several
// places that are computed at once are of one expert; some may be of no way.
fn expert_row(place: u32) -> u32 { return (routes[place].x - params.firstExpert) * params.rows; }
fn input_token(place: u32) -> u32 { return min(routes[place].y, params.tokens - 1u) / EXPERTS_USED; }
fn output_token(place: u32) -> u32 { return routes[place].y; }
