// Behind the norm's weights, in one binding: with three planes and an adapter a binding of its own would be the ninth.
fn bias(row: u32) -> f32 { return norm_weight[(BIAS_START + row) / 4u][(BIAS_START + row) % 4u]; }
