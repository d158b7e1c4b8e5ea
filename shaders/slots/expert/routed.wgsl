// A token of the output is a token's way through an expert, which `routes` has: the matrix has params.rows rows of each
// expert, from the first one of its slice on. EXPERTS_USED ways, one after another, read one input.
fn expert_row(token: u32) -> u32 { return (routes[token].x - params.firstExpert) * params.rows; }
fn input_token(token: u32) -> u32 { return token / EXPERTS_USED; }
fn output_token(token: u32) -> u32 { return token; }
