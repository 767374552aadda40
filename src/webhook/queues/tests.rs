//! The machine in a small world: a store in memory, endpoints that are well, slow, or dead, and a
//! clock that jumps from one thing to the next.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::*;
use crate::message::MessageId;
use crate::store::DeliveryKey;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}

fn due_delivery(queue: &Arc<str>, seq: u64) -> DueDelivery {
    DueDelivery {
        key: DeliveryKey {
            queue: queue.clone(),
            seq,
        },
        url: None,
        tries: 0,
        json: Bytes::from_static(b"{}"),
        message_id: MessageId::new(Uuid::from_u128(u128::from(seq))),
        trace: None,
    }
}

/// How an endpoint of the world behaves.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Takes everything in so many milliseconds.
    Well(u64),
    /// Lets everyone wait so long, and takes nothing.
    Dead(u64),
    /// Fails now and then.
    Moody(u64),
}

#[derive(Clone, Copy, Debug)]
struct Row {
    message: u64,
    next_at: u64,
    ended: bool,
}

struct World {
    queues: Queues,
    kinds: HashMap<Arc<str>, Kind>,
    /// By queue and number, as the store would have it.
    rows: BTreeMap<(Arc<str>, u64), Row>,
    /// Posts under way: when they end, and what they are.
    posts: BTreeSet<(u64, Arc<str>, u64)>,
    /// Looks under way: when they end, and what they saw when they began.
    looks: Vec<(u64, Arc<str>, Due)>,
    /// Times at which deliveries were taken, in order, by queue.
    taken: HashMap<Arc<str>, Vec<(u64, u64)>>,
    rng: SmallRng,
    now: u64,
    most: usize,
}

impl World {
    fn new(seed: u64, concurrency: usize, kinds: &[(&str, Kind)]) -> Self {
        Self {
            queues: Queues::new(concurrency),
            kinds: kinds
                .iter()
                .map(|(name, kind)| ((*name).into(), *kind))
                .collect(),
            rows: BTreeMap::new(),
            posts: BTreeSet::new(),
            looks: Vec::new(),
            taken: HashMap::new(),
            rng: SmallRng::seed_from_u64(seed),
            now: 0,
            most: 0,
        }
    }

    fn plan(&mut self, queue: &str, seq: u64, message: u64) {
        let (queue, next_at): (Arc<str>, _) = (queue.into(), self.now);
        let row = Row {
            message,
            next_at,
            ended: false,
        };
        self.rows.insert((queue.clone(), seq), row);
        let now = at(self.now);
        self.queues.handle_head(&queue, now, now);
    }

    /// What the store would answer: of each message the oldest that has not ended.
    fn due(&self, queue: &Arc<str>, limit: usize) -> Due {
        let mut heads = BTreeMap::new();
        for ((name, seq), row) in &self.rows {
            if name == queue && !row.ended {
                heads.entry(row.message).or_insert((row.next_at, *seq));
            }
        }
        let mut heads: Vec<_> = heads.into_values().collect();
        heads.sort_unstable();
        let ready = heads.iter().take_while(|(time, _)| *time <= self.now);
        let found: Vec<_> = ready
            .take(limit)
            .map(|(_, seq)| due_delivery(queue, *seq))
            .collect();
        Due {
            next_at: heads.get(found.len()).map(|(time, _)| at(*time)),
            deliveries: found,
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.queues.poll(at(self.now)) {
            match output {
                QueueAction::Look(queue, limit) => {
                    let due = self.due(&queue, limit.rows);
                    let took = self.rng.random_range(0..40);
                    self.looks.push((self.now + took, queue, due));
                }
                QueueAction::Post(delivery) => self.post(&delivery.key),
            }
        }
        self.most = self.most.max(self.posts.len());
        assert_eq!(self.posts.len(), self.queues.in_flight());
    }

    fn post(&mut self, key: &DeliveryKey) {
        let row = self.rows[&(key.queue.clone(), key.seq)];
        assert!(!row.ended && row.next_at <= self.now, "{key:?}");
        let same = |(_, queue, seq): &&(u64, Arc<str>, u64)| {
            *queue == key.queue && self.rows[&(queue.clone(), *seq)].message == row.message
        };
        assert_eq!(self.posts.iter().find(same), None, "out of order: {key:?}");
        let took = match self.kinds[&key.queue] {
            Kind::Well(took) | Kind::Dead(took) | Kind::Moody(took) => took,
        };
        self.posts
            .insert((self.now + took, key.queue.clone(), key.seq));
    }

    fn end(&mut self, queue: &Arc<str>, seq: u64) {
        let took = match self.kinds[queue] {
            Kind::Well(_) => true,
            Kind::Dead(_) => false,
            Kind::Moody(_) => self.rng.random_bool(0.7),
        };
        let row = self.rows.get_mut(&(queue.clone(), seq)).unwrap();
        let end = if took {
            row.ended = true;
            let taken = self.taken.entry(queue.clone()).or_default();
            taken.push((self.now, seq));
            PostEnd::Succeeded
        } else {
            row.next_at = self.now + 5_000;
            PostEnd::Failed(Some(at(row.next_at)))
        };
        self.queues.handle_ended(queue, seq, end, at(self.now));
        self.queues.tidy(at(self.now));
    }

    /// Lets time pass until `end`, or until nothing is left to do.
    fn run(&mut self, end: u64) {
        loop {
            self.drain();
            let post = self.posts.first().map(|(time, ..)| *time);
            let deadline = self.queues.deadline();
            let deadline = deadline.map(|time| u64::try_from(time.as_millis()).unwrap());
            let look = self.looks.iter().map(|(time, ..)| *time).min();
            let next = [post, look, deadline.filter(|time| *time > self.now)];
            let Some(next) = next.into_iter().flatten().min().filter(|next| *next <= end) else {
                self.now = end;
                return;
            };
            self.now = next;
            while let Some((time, queue, seq)) = self.posts.first().cloned()
                && time <= self.now
            {
                self.posts.pop_first();
                self.end(&queue, seq);
            }
            let (now, looks) = (self.now, std::mem::take(&mut self.looks));
            for (time, queue, due) in looks {
                match time <= now {
                    true => self.queues.handle_found(&queue, due),
                    false => self.looks.push((time, queue, due)),
                }
            }
        }
    }

    fn taken(&self, queue: &str) -> usize {
        self.taken.get(queue).map_or(0, Vec::len)
    }
}

#[test]
fn everything_is_posted_in_order_whatever_happens() {
    for seed in 0..200 {
        let kinds = [
            ("a", Kind::Well(20)),
            ("b", Kind::Moody(40)),
            ("c", Kind::Moody(900)),
        ];
        let mut world = World::new(seed, 6, &kinds);
        let mut planned = 0;
        for seq in 1..=120 {
            let queue = kinds[world.rng.random_range(0..3)].0;
            let message = world.rng.random_range(0..12);
            world.plan(queue, seq, message);
            planned += 1;
            let pause = world.rng.random_range(0..60);
            world.run(world.now + pause);
        }
        world.run(world.now + 10_000_000);
        let taken: usize = kinds.iter().map(|(queue, _)| world.taken(queue)).sum();
        assert_eq!(taken, planned, "seed {seed}");
        assert!(world.most <= 6, "seed {seed}: {}", world.most);
        for (queue, taken) in &world.taken {
            let mut last: HashMap<u64, u64> = HashMap::new();
            for (_, seq) in taken {
                let message = world.rows[&(queue.clone(), *seq)].message;
                let before = last.insert(message, *seq).unwrap_or(0);
                assert!(before < *seq, "seed {seed}: {queue} {seq}");
            }
        }
        world.queues.tidy(at(world.now));
        assert!(world.queues.known.is_empty(), "seed {seed}");
        assert_eq!(
            (world.queues.loaded, world.queues.failing_in_flight),
            (0, 0)
        );
    }
}

#[test]
fn endpoints_that_do_not_answer_delay_nobody() {
    let dead: Vec<String> = (0..40).map(|number| format!("dead-{number}")).collect();
    let mut kinds = vec![("well", Kind::Well(50))];
    kinds.extend(dead.iter().map(|name| (name.as_str(), Kind::Dead(15_000))));
    let mut world = World::new(1, 16, &kinds);
    let mut seq = 0;
    // The dead ones have plenty to post, and all of it before the first of the one that is well.
    for name in &dead {
        for message in 0..50 {
            seq += 1;
            world.plan(name, seq, message);
        }
    }
    world.run(60_000);
    let begun = world.now;
    for message in 0..100 {
        seq += 1;
        world.plan("well", seq, message);
    }
    world.run(begun + 2_000);
    assert_eq!(world.taken("well"), 100);
    let slowest = world.taken["well"]
        .iter()
        .map(|(time, _)| time - begun)
        .max();
    assert!(slowest.unwrap() <= 1_500, "{slowest:?}");
}

#[test]
fn endpoints_that_die_all_at_once_leave_room() {
    let names: Vec<String> = (0..4).map(|number| format!("dies-{number}")).collect();
    let mut kinds = vec![("well", Kind::Well(50))];
    kinds.extend(names.iter().map(|name| (name.as_str(), Kind::Well(10))));
    let mut world = World::new(2, 64, &kinds);
    let mut seq = 0;
    let mut plan = |world: &mut World, queue: &str, count| {
        for message in 0..count {
            seq += 1;
            world.plan(queue, seq, message);
        }
    };
    for name in &names {
        plan(&mut world, name, 500);
    }
    world.run(2_000);
    // They were well, so they have their full width, when they stop answering.
    for name in &names {
        world.kinds.insert(name.as_str().into(), Kind::Dead(15_000));
        plan(&mut world, name, 500);
    }
    world.run(2_100);
    plan(&mut world, "well", 20);
    world.run(3_600);
    assert_eq!(world.taken("well"), 20);
}

#[test]
fn a_queue_that_is_well_grows_wide_and_one_that_fails_is_narrow() {
    let mut queues = Queues::new(16);
    let queue: Arc<str> = "a".into();
    queues.handle_head(&queue, at(0), at(0));
    let mut seq = 0;
    let mut under_way = VecDeque::new();
    let mut fill = |queues: &mut Queues, under_way: &mut VecDeque<u64>| {
        while let Some(output) = queues.poll(at(0)) {
            match output {
                QueueAction::Look(..) => {
                    let deliveries = (0..64).map(|_| {
                        seq += 1;
                        due_delivery(&"a".into(), seq)
                    });
                    let due = Due {
                        deliveries: deliveries.collect(),
                        next_at: Some(at(0)),
                    };
                    queues.handle_found(&"a".into(), due);
                }
                QueueAction::Post(delivery) => under_way.push_back(delivery.key.seq),
            }
        }
        under_way.len()
    };
    assert_eq!(fill(&mut queues, &mut under_way), 1);
    for width in [2, 4, 8, 8] {
        let ended = under_way.pop_front().unwrap();
        queues.handle_ended(&queue, ended, PostEnd::Succeeded, at(0));
        assert_eq!(fill(&mut queues, &mut under_way), width);
    }
    while let Some(ended) = under_way.pop_front() {
        queues.handle_ended(&queue, ended, PostEnd::Failed(None), at(0));
    }
    assert_eq!(fill(&mut queues, &mut under_way), 1);
}

#[test]
fn what_is_read_of_a_queue_that_closes_is_let_go() {
    let mut queues = Queues::new(4);
    let queue: Arc<str> = "a".into();
    queues.handle_head(&queue, at(0), at(0));
    assert!(matches!(queues.poll(at(0)), Some(QueueAction::Look(..))));
    let due = Due {
        deliveries: (1..=2).map(|seq| due_delivery(&queue, seq)).collect(),
        next_at: None,
    };
    queues.handle_found(&queue, due);
    assert!(matches!(queues.poll(at(0)), Some(QueueAction::Post(_))));
    queues.handle_ended(&queue, 1, PostEnd::Void, at(0));
    queues.handle_closed(&queue);
    assert_eq!(queues.poll(at(0)), None);
    queues.tidy(at(0));
    assert!(queues.known.is_empty());
    // When it is told of again, it is read again.
    queues.handle_head(&queue, at(0), at(0));
    assert!(matches!(queues.poll(at(0)), Some(QueueAction::Look(..))));
}

#[test]
fn a_look_that_fails_is_made_again_later() {
    let mut queues = Queues::new(4);
    let queue: Arc<str> = "a".into();
    queues.handle_head(&queue, at(0), at(0));
    assert!(matches!(queues.poll(at(0)), Some(QueueAction::Look(..))));
    assert_eq!(queues.poll(at(0)), None);
    queues.handle_not_found(&queue, at(1_000));
    assert_eq!(queues.poll(at(999)), None);
    assert_eq!(queues.deadline(), Some(at(1_000)));
    assert!(matches!(
        queues.poll(at(1_000)),
        Some(QueueAction::Look(..))
    ));
}

#[test]
fn no_more_queues_are_known_than_may_be() {
    let mut queues = Queues::new(4);
    for number in 0..2 * MAX_QUEUES {
        let queue = format!("queue-{number}").into();
        queues.handle_head(&queue, at(0), at(0));
    }
    assert_eq!(queues.known.len(), MAX_QUEUES);
    let far: Arc<str> = "far".into();
    let mut queues = Queues::new(4);
    queues.handle_head(&far, at(3_600_000), at(0));
    assert!(queues.known.is_empty());
}
