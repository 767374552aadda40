//! An agent on a real socket, opposite servers that misbehave in every way a server was seen to.
//!
//! A server here is the test itself: it accepts, says what it says, and looks at what comes. What
//! an agent made of it shows when it comes back, and in its status.

mod answers;
mod closing;
mod frames;
mod harness;
mod inbound;
mod leaving;
mod opening;
mod registering;
mod servers;
mod tls;
mod traces;
