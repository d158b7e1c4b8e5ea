#variant expert/none
// One matrix for all tokens.
fn expert_row(token: u32) -> u32 { return 0u; }
fn input_token(token: u32) -> u32 { return min(token, params.tokens - 1u); }
fn output_token(token: u32) -> u32 { return token; }

#variant expert/routed
// An output token is a route of an input token to an expert, in `routes`. The matrix has params.rows rows of each expert, from
// the slice's first expert on. EXPERTS_USED consecutive routes read the same input.
fn expert_row(token: u32) -> u32 { return (routes[token].x - params.firstExpert) * params.rows; }
fn input_token(token: u32) -> u32 { return token / EXPERTS_USED; }
fn output_token(token: u32) -> u32 { return token; }

#variant expert/grouped
// Like `expert/routed`, for routes sorted by expert: `routes` has the expert and the route's index of each place. Places that
// are computed at once have the same expert; some may have no route.
fn expert_row(place: u32) -> u32 { return (routes[place].x - params.firstExpert) * params.rows; }
fn input_token(place: u32) -> u32 { return min(routes[place].y, params.tokens - 1u) / EXPERTS_USED; }
fn output_token(place: u32) -> u32 { return routes[place].y; }

#variant expert-share/softmax
// Shares are a softmax of the scores, before the division by its sum.
fn preference(score: f32, expert: u32) -> f32 { return score; }
fn share(score: f32, highest: f32) -> f32 { return exp(score - highest); }

#variant expert-share/sigmoid
// A score's share does not depend on other scores. `expert_bias` changes which experts are chosen, not their shares.
fn preference(score: f32, expert: u32) -> f32 { return share(score, 0.0) + expert_bias[expert]; }
fn share(score: f32, highest: f32) -> f32 { return 1.0 / (1.0 + exp(min(-score, 88.0))); }

#variant residual/own
// The residual is in the output.
fn residual(i: u32) -> vec4f { return y[i]; }

#variant residual/before
// The residual is in another buffer.
fn residual(i: u32) -> vec4f { return before[i]; }
