//! The machine in a small world: a store in memory, endpoints that are well, slow, or dead, and a
//! clock that jumps from one thing to the next.

use std::collections::{BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use super::*;
use crate::message::MessageId;
use crate::store::DeliveryKey;

impl Queues {
    /// Nothing is under way, and nothing is counted any more.
    fn assert_idle(&self, now: Timestamp) {
        assert_eq!(self.load, Load::default());
        let mut count = 0;
        for asker in self.askers.values() {
            assert_eq!(asker.load, Load::default());
            let queues = asker.origins.values().map(|one| one.queues.len());
            assert_eq!(asker.queues, queues.sum::<usize>());
            count += asker.queues;
            for origin in asker.origins.values() {
                assert_eq!((origin.posts, origin.unproven), (0, 0));
                assert!(origin.queues.values().all(|queue| queue.is_idle(now)));
            }
        }
        assert_eq!(self.owners.len(), count);
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(millis).unwrap())
}

/// `asker|origin|path`, or a queue that is alone at its origin.
fn owner(queue: &str) -> Option<QueueOwner> {
    let mut parts = queue.split('|');
    let (first, origin) = (parts.next().unwrap(), parts.next());
    Some(QueueOwner {
        asker: match origin {
            Some(_) => Asker::Token(first.into()),
            None => Asker::Anyone,
        },
        origin: origin.unwrap_or(first).into(),
    })
}

fn head(queues: &mut Queues, queue: &Arc<str>, next_at: Timestamp) {
    queues.handle_head(queue, next_at, at(0), || owner(queue));
}

const FAILED: PostEnd = PostEnd::Failed {
    again_at: None,
    has_answered: Some(false),
};

fn due_delivery(queue: &Arc<str>, seq: u64) -> DueDelivery {
    DueDelivery {
        key: DeliveryKey {
            queue: queue.clone(),
            seq,
        },
        url: None,
        tries: 0,
        json: Bytes::from_static(b"{}"),
        kind: crate::message::EventKind::Sending,
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
        self.queues.handle_head(&queue, now, now, || owner(&queue));
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
            PostEnd::Failed {
                again_at: Some(at(row.next_at)),
                has_answered: Some(!matches!(self.kinds[queue], Kind::Dead(_))),
            }
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
                if time <= now {
                    self.queues.handle_found(&queue, due);
                } else {
                    self.looks.push((time, queue, due));
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
        world.queues.assert_idle(at(world.now));
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
    // Until each of them has had its first attempt.
    world.run(200_000);
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
    head(&mut queues, &queue, at(0));
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
    // A queue has no more than it leaves to others, and its asker leaves two of sixteen.
    for width in [2, 4, 7, 7] {
        let ended = under_way.pop_front().unwrap();
        queues.handle_ended(&queue, ended, PostEnd::Succeeded, at(0));
        assert_eq!(fill(&mut queues, &mut under_way), width);
    }
    while let Some(ended) = under_way.pop_front() {
        queues.handle_ended(&queue, ended, FAILED, at(0));
    }
    assert_eq!(fill(&mut queues, &mut under_way), 1);
}

#[test]
fn what_is_read_of_a_queue_that_closes_is_let_go() {
    let mut queues = Queues::new(4);
    let queue: Arc<str> = "a".into();
    head(&mut queues, &queue, at(0));
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
    assert!(queues.owners.is_empty());
    // When it is told of again, it is read again.
    head(&mut queues, &queue, at(0));
    assert!(matches!(queues.poll(at(0)), Some(QueueAction::Look(..))));
}

#[test]
fn a_look_that_fails_is_made_again_later() {
    let mut queues = Queues::new(4);
    let queue: Arc<str> = "a".into();
    head(&mut queues, &queue, at(0));
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
        head(&mut queues, &queue, at(0));
    }
    assert_eq!(queues.owners.len(), MAX_QUEUES);
    let far: Arc<str> = "far".into();
    let mut queues = Queues::new(4);
    head(&mut queues, &far, at(3_600_000));
    assert!(queues.owners.is_empty());
}

#[test]
fn a_thousand_urls_at_one_silent_host_delay_no_other() {
    let silent: Vec<String> = (0..1_000).map(|n| format!("a|silent|{n}")).collect();
    for well in ["a|well|hook", "b|well|hook"] {
        let mut kinds = vec![(well, Kind::Well(50))];
        kinds.extend(
            silent
                .iter()
                .map(|name| (name.as_str(), Kind::Dead(15_000))),
        );
        let mut world = World::new(3, 64, &kinds);
        let mut seq = 0;
        for name in &silent {
            for _ in 0..2 {
                seq += 1;
                world.plan(name, seq, seq);
            }
        }
        world.run(100);
        world.plan(well, seq + 1, seq + 1);
        world.run(1_000);
        assert_eq!(world.taken(well), 1, "{well}");
        // A host that has not answered has a few posts at a time.
        assert_eq!(world.posts.len(), 3);
    }
}

#[test]
fn a_thousand_silent_hosts_of_one_asker_delay_no_other_asker() {
    let silent: Vec<String> = (0..1_000).map(|n| format!("a|silent-{n}|hook")).collect();
    let mut kinds = vec![
        ("b|new|hook", Kind::Well(50)),
        ("c|moody|hook", Kind::Dead(50)),
    ];
    kinds.extend(
        silent
            .iter()
            .map(|name| (name.as_str(), Kind::Dead(15_000))),
    );
    let mut world = World::new(4, 64, &kinds);
    for (seq, name) in (0..).zip(&silent) {
        world.plan(name, seq, seq);
    }
    // One that failed before is not behind what fails for others.
    world.plan("c|moody|hook", 5_000, 5_000);
    world.run(100);
    world.kinds.insert("c|moody|hook".into(), Kind::Well(50));
    for begun in [20_000, 40_000, 60_000] {
        world.run(begun);
        world.plan("b|new|hook", begun, begun);
        world.run(begun + 1_000);
    }
    assert_eq!(
        (world.taken("b|new|hook"), world.taken("c|moody|hook")),
        (3, 1)
    );
}

#[test]
fn hosts_of_one_asker_that_answer_slowly_leave_room_to_others() {
    let slow: Vec<String> = (0..200).map(|n| format!("a|slow-{n}|hook")).collect();
    let mut kinds = vec![("b|well|hook", Kind::Well(50))];
    kinds.extend(slow.iter().map(|name| (name.as_str(), Kind::Well(14_900))));
    let mut world = World::new(5, 64, &kinds);
    let mut seq = 0;
    for name in &slow {
        for _ in 0..50 {
            seq += 1;
            world.plan(name, seq, seq);
        }
    }
    world.run(300_000);
    assert!(world.posts.len() > 32, "{}", world.posts.len());
    world.plan("b|well|hook", seq + 1, seq + 1);
    world.run(301_000);
    assert_eq!(world.taken("b|well|hook"), 1);
}

#[test]
fn a_path_that_is_silent_leaves_room_to_others_at_its_origin() {
    let silent: Vec<String> = (0..50).map(|n| format!("a|host|silent-{n}")).collect();
    let mut kinds = vec![("a|host|well", Kind::Well(50))];
    kinds.extend(
        silent
            .iter()
            .map(|name| (name.as_str(), Kind::Dead(15_000))),
    );
    let mut world = World::new(6, 64, &kinds);
    world.plan("a|host|well", 1, 1);
    world.run(1_000);
    for (seq, name) in (10..).zip(&silent) {
        world.plan(name, seq, seq);
    }
    world.run(40_000);
    world.plan("a|host|well", 2, 2);
    world.run(41_000);
    assert_eq!(world.taken("a|host|well"), 2);
}

#[test]
fn an_asker_fills_the_table_for_itself_only() {
    let mut queues = Queues::new(4);
    let mut add = |name: String| head(&mut queues, &name.into(), at(0));
    (0..2 * MAX_QUEUES).for_each(|n| add(format!("a|one|{n}")));
    add("a|two|hook".to_owned());
    add("b|three|hook".to_owned());
    assert_eq!(queues.owners.len(), MAX_QUEUES);
    for name in ["a|two|hook", "b|three|hook"] {
        assert!(queues.owners.contains_key(name), "{name}");
    }
    // Those that were given up are found again when there is room.
    let known = queues.owners.clone();
    assert_eq!(
        known
            .keys()
            .filter(|name| name.starts_with("a|one"))
            .count(),
        MAX_QUEUES - 2
    );
    // In turn all get as much as the first.
    (0..2 * MAX_QUEUES).for_each(|n| head(&mut queues, &format!("b|four|{n}").into(), at(0)));
    let of_b = queues
        .owners
        .keys()
        .filter(|name| name.starts_with("b|"))
        .count();
    assert!(of_b.abs_diff(MAX_QUEUES / 2) <= 1, "{of_b}");
}

#[test]
fn what_is_read_ahead_for_one_asker_leaves_room_to_others() {
    let mut queues = Queues::new(1_000);
    let mut look = |queue: String| {
        let queue: Arc<str> = queue.into();
        head(&mut queues, &queue, at(0));
        std::iter::from_fn(|| queues.poll(at(0))).count()
    };
    let looks: usize = (0..20).map(|n| look(format!("a|{n}|hook"))).sum();
    assert_eq!(looks * LOOK, MAX_LOADED / 2);
    assert_eq!(look("b|one|hook".to_owned()), 1);
}

#[test]
fn an_origin_is_remembered_when_it_has_nothing_to_post() {
    let mut world = World::new(7, 64, &[("a|well|hook", Kind::Well(50))]);
    world.plan("a|well|hook", 1, 1);
    world.run(1_000);
    world.queues.tidy(at(1_000));
    world.queues.assert_idle(at(world.now));
    for n in 0..2 * MAX_ORIGINS as u64 {
        let name = format!("a|{n}|hook");
        world.kinds.insert(name.as_str().into(), Kind::Well(1));
        world.plan(&name, 10 + n, 10 + n);
        world.run(world.now + 100);
        let origins = &world.queues.askers[&Asker::Token("a".into())].origins;
        assert!(
            origins.len() <= MAX_ORIGINS + MAX_QUEUES,
            "{}",
            origins.len()
        );
        assert!(
            origins.contains_key("well") || n >= MAX_ORIGINS as u64,
            "{n}"
        );
    }
}
