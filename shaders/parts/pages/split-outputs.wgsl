// Where what attention leaves of each split of a (token, head) lies: its output, unnormalized, then (maximum, sum) of its softmax.
const SPLIT4 = HEAD_DIM4 + 1u;
const NEXT_SPLIT = NUM_HEADS * SPLIT4;

fn first_split(token: u32, head: u32) -> u32 { return (token * params.splits * NUM_HEADS + head) * SPLIT4; }
