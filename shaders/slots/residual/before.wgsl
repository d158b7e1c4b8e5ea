// What is added to lies elsewhere.
fn residual(i: u32) -> vec4f { return before[i]; }
