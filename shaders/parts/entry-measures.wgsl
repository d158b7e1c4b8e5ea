#variant entry-measure/share
// The largest share of attention that any query gives an entry.
fn measure_of(share: f32) -> f32 { return share; }
fn joined(a: f32, b: f32) -> f32 { return max(a, b); }

#variant entry-measure/square
// The sum of the squared shares that queries give an entry.
fn measure_of(share: f32) -> f32 { return share * share; }
fn joined(a: f32, b: f32) -> f32 { return a + b; }
