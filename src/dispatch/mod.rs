//! The heart: which message goes out next, and what follows from how it went.

mod handle;

pub use handle::AcceptError;
pub use handle::Admission;
pub use handle::CancelError;
pub use handle::Command;
pub use handle::Handle;
