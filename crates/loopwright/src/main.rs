//! loopwright
fn main(){}
