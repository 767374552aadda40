//! The queue of an agent's commands.
//!
//! A channel of tokio allocates room for 32 commands when it is made. Of ten thousand agents most
//! have none waiting, so this queue allocates when a command comes, and gives back what a burst
//! took.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::coop::cooperative;

use super::handle::AgentCommand;

/// Commands for which an empty queue keeps its room.
const KEPT: usize = 16;

/// Sends commands. When the last one is dropped, the receiver ends after what is queued.
#[derive(Clone, Debug)]
pub(super) struct CommandSender(Arc<SendingEnd>);

/// Sends commands while there is a [`CommandSender`].
#[derive(Clone, Debug)]
pub(super) struct WeakCommandSender(Weak<SendingEnd>);

/// The agent's end of the queue.
#[derive(Debug)]
pub struct CommandReceiver(Arc<Mutex<CommandQueue>>);

/// What all senders share.
#[derive(Debug)]
struct SendingEnd(Arc<Mutex<CommandQueue>>);

#[derive(Debug, Default)]
struct CommandQueue {
    waiting: VecDeque<AgentCommand>,
    /// No more commands are taken: the receiver is closed, or no sender is left.
    is_closed: bool,
    /// Of the receiver, while it waits.
    waker: Option<Waker>,
}

/// A queue. It has no bound of its own.
pub(super) fn command_queue() -> (CommandSender, CommandReceiver) {
    let queue = Arc::<Mutex<CommandQueue>>::default();
    let sender = CommandSender(Arc::new(SendingEnd(queue.clone())));
    (sender, CommandReceiver(queue))
}

impl CommandSender {
    /// Adds a command; false when the receiver takes no more.
    pub(super) fn send(&self, command: AgentCommand) -> bool {
        let mut queue = lock(&self.0.0);
        if queue.is_closed {
            return false;
        }
        queue.waiting.push_back(command);
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    pub(super) fn downgrade(&self) -> WeakCommandSender {
        WeakCommandSender(Arc::downgrade(&self.0))
    }
}

impl WeakCommandSender {
    pub(super) fn upgrade(&self) -> Option<CommandSender> {
        self.0.upgrade().map(CommandSender)
    }
}

impl Drop for SendingEnd {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.is_closed = true;
        let waker = queue.waker.take();
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl CommandReceiver {
    /// The next command; `None` when there is none left and no more can come.
    pub async fn recv(&mut self) -> Option<AgentCommand> {
        let next = poll_fn(|context| {
            let mut queue = lock(&self.0);
            match queue.pop() {
                Some(command) => Poll::Ready(Some(command)),
                None => queue.end_or_wait(context.waker()).map(|()| None),
            }
        });
        cooperative(next).await
    }

    /// Waits for commands and adds those that are there, so many at most, to `commands`; 0 when
    /// there is none left and no more can come.
    pub(super) async fn recv_many(
        &mut self,
        commands: &mut Vec<AgentCommand>,
        most: usize,
    ) -> usize {
        let next = poll_fn(|context| {
            let mut queue = lock(&self.0);
            let count = queue.waiting.len().min(most);
            if count == 0 {
                return queue.end_or_wait(context.waker()).map(|()| 0);
            }
            commands.extend(queue.waiting.drain(..count));
            queue.shrink();
            Poll::Ready(count)
        });
        cooperative(next).await
    }

    /// The next command, if it is there already.
    pub fn try_recv(&mut self) -> Result<AgentCommand, TryRecvError> {
        let mut queue = lock(&self.0);
        queue.pop().ok_or(if queue.is_closed {
            TryRecvError::Disconnected
        } else {
            TryRecvError::Empty
        })
    }

    /// Takes no more commands. Those that are queued can still be received.
    pub fn close(&mut self) {
        lock(&self.0).is_closed = true;
    }
}

impl Drop for CommandReceiver {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.is_closed = true;
        // The waker would keep the memory of the agent's task.
        let left = (std::mem::take(&mut queue.waiting), queue.waker.take());
        drop(queue);
        drop(left);
    }
}

impl CommandQueue {
    fn pop(&mut self) -> Option<AgentCommand> {
        let command = self.waiting.pop_front();
        self.shrink();
        command
    }

    /// Gives back what a burst took, once it is over.
    fn shrink(&mut self) {
        if self.waiting.is_empty() && self.waiting.capacity() > KEPT {
            self.waiting = VecDeque::new();
        }
    }

    /// Ready when no more commands can come; else this waker is woken by the next one.
    fn end_or_wait(&mut self, waker: &Waker) -> Poll<()> {
        if self.is_closed {
            return Poll::Ready(());
        }
        match &mut self.waker {
            Some(waiting) => waiting.clone_from(waker),
            None => self.waker = Some(waker.clone()),
        }
        Poll::Pending
    }
}

fn lock(queue: &Mutex<CommandQueue>) -> MutexGuard<'_, CommandQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn is_drain(command: Option<AgentCommand>) -> bool {
        matches!(command, Some(AgentCommand::Drain))
    }

    #[tokio::test]
    async fn commands_come_in_their_order_and_the_end_after_the_last_sender() {
        let (sender, mut receiver) = command_queue();
        let weak = sender.downgrade();
        assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Empty);
        assert!(sender.send(AgentCommand::Drain));
        assert!(weak.upgrade().unwrap().send(AgentCommand::Resume));
        drop(sender.clone());
        assert!(is_drain(receiver.recv().await));
        drop(sender);
        assert!(weak.upgrade().is_none());
        let last = receiver.recv().await;
        assert!(matches!(last, Some(AgentCommand::Resume)));
        assert!(receiver.recv().await.is_none());
        let mut more = Vec::new();
        assert_eq!(receiver.recv_many(&mut more, 8).await, 0);
        assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Disconnected);
    }

    #[tokio::test]
    async fn a_receiver_that_waits_is_woken_by_a_command_and_by_the_end() {
        let (sender, mut receiver) = command_queue();
        let waiting = tokio::spawn(async move {
            let mut commands = Vec::new();
            let mut batches = Vec::new();
            loop {
                match receiver.recv_many(&mut commands, 2).await {
                    0 => return (commands.len(), batches),
                    count => batches.push(count),
                }
            }
        });
        // It waits by now.
        tokio::task::yield_now().await;
        for _ in 0..5 {
            assert!(sender.send(AgentCommand::Drain));
        }
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), (5, vec![2, 2, 1]));
    }

    #[test]
    fn a_closed_receiver_takes_what_was_queued_and_no_more() {
        let (sender, mut receiver) = command_queue();
        assert!(sender.send(AgentCommand::Drain));
        receiver.close();
        assert!(!sender.send(AgentCommand::Resume));
        assert!(is_drain(receiver.recv().now_or_never().flatten()));
        assert_eq!(receiver.try_recv().unwrap_err(), TryRecvError::Disconnected);
    }

    #[test]
    fn a_dropped_receiver_drops_what_was_queued() {
        let (sender, receiver) = command_queue();
        assert!(sender.send(AgentCommand::Send(Vec::new())));
        drop(receiver);
        assert!(!sender.send(AgentCommand::Drain));
        assert!(lock(&sender.0.0).waiting.is_empty());
    }

    #[test]
    fn an_empty_queue_has_no_room_and_one_that_was_long_gives_it_back() {
        let (sender, mut receiver) = command_queue();
        let room = || lock(&sender.0.0).waiting.capacity();
        assert_eq!(room(), 0);
        for _ in 0..10 * KEPT {
            assert!(sender.send(AgentCommand::Drain));
        }
        assert!(room() >= 10 * KEPT);
        let mut commands = Vec::new();
        let all = receiver.recv_many(&mut commands, usize::MAX).now_or_never();
        assert_eq!((all, room()), (Some(10 * KEPT), 0));
    }
}
