// Of linears that have no gate.
fn activation(x: f32) -> f32 { return x; }
