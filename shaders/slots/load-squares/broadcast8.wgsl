// As squares-direct, shared out like input-broadcast8: each invocation squares what it loads, and the sums are added last.
fn load_squares(first: u32, local: u32) -> f32 { return square(first + (local & 7u)); }

fn total_squares(sum: f32) -> f32 { return subgroupAdd(sum); }
