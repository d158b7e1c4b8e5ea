// The input as it is.
fn input(i: u32) -> vec4f { return x[i]; }
