// Each token of the output goes through an expert of its own: the matrix has params.rows rows of each of the experts from
// the first one of its slice on. `routes [tokens]` has a token's expert; EXPERTS_USED of them, one after another, read one
// input.
fn expert_row(token: u32) -> u32 { return (routes[token].x - params.firstExpert) * params.rows; }
fn input_token(token: u32) -> u32 { return token / EXPERTS_USED; }
