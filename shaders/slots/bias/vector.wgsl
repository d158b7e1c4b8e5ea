fn bias(row: u32) -> f32 { return bias_values[row]; }
