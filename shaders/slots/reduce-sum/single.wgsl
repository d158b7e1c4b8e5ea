// One invocation does a row's work: nothing to add up. For adapters on which a barrier costs more than it saves.
fn reduce_sum(value: vec4f, local: u32) -> vec4f { return value; }

// Which of the LANES invocations of a row this is.
fn lane_of(local: u32) -> u32 { return 0u; }
