//! The SIP messages that pass between agents and their servers, to be looked at: held with their
//! message, shown as they pass, and sent to a Homer.
//!
//! | file      | is about                                                                       |
//! |-----------|--------------------------------------------------------------------------------|
//! | `frame`   | frames as agents see them, and how many of them may be held                    |
//! | `mask`    | what is hidden of a frame before it leaves the memory                          |
//! | `recorder` | what agents share: which frames are held, shown and sent                      |
//! | `tap`     | readers of the frames of one agent                                             |
//! | `hep`     | HEP3, for Homer                                                                |
//! | `capture` | a trace as a file for Wireshark                                                |
//! | `ladder`  | a trace as a diagram                                                           |
//!
//! Agents hand over references to the bytes that they have anyway. Frames that are kept, shown or
//! sent are masked and formatted by other tasks, so a message to which nothing happens costs two
//! references.

pub mod capture;
mod frame;
mod hep;
pub mod ladder;
mod mask;
mod observer;
mod recorder;
mod tap;

pub use frame::{FrameBudget, FrameSource, HeldFrames, RawFrame, SocketAddresses};
pub use hep::{HepQueue, HepSender, HepServer, HepSettings, HepTransport, hep};
pub use observer::{HepOutcome, NotKept, TraceObserver};
pub use recorder::{Keep, Recorder, Settings};
pub use tap::{Passed, Tap, TapReader, Taps};
