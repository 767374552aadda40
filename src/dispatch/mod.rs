//! The heart: which message goes out next, and what follows from how it went.

mod board;
mod handle;
mod observer;
mod quota;
mod ready;
mod run;
#[cfg(test)]
mod tests;

pub use handle::AcceptError;
pub use handle::Admission;
pub use handle::CancelError;
pub use handle::Command;
pub use handle::Handle;
pub use observer::Attempted;
pub use observer::Observer;
pub use observer::Standing;
pub use observer::WaitingFor;
pub use quota::Quota;
pub use quota::QuotaPermit;
pub use run::Parts;
pub use run::Settings;
pub use run::run;
