fn query_norm(i: u32) -> vec4f { return vec4f(1.0); }

fn key_norm(i: u32) -> vec4f { return vec4f(1.0); }
