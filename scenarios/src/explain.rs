//! Why an operation took as long as it did, and how fast the links could have brought it.

pub mod bound;
mod link;
mod passage;
#[cfg(test)]
mod tests;
