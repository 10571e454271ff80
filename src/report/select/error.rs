//! What is wrong with a selection, and where.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectError {
    /// Bytes before the trouble.
    pub column: usize,
    pub message: String,
}

impl SelectError {
    pub fn new(column: usize, message: impl Into<String>) -> SelectError {
        SelectError { column, message: message.into() }
    }
}

impl fmt::Display for SelectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column.saturating_add(1), self.message)
    }
}

impl std::error::Error for SelectError {}
