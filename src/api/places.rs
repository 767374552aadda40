//! Places for connections: who has one, and who leaves when there are none left.
//!
//! A connection that is in no request can be cut, and the one that has been so for longest goes
//! first. So idle connections keep no client out, however many there are.
//!
//! When there is none, the one goes that has waited for longest for the body of its request, or for
//! a further part of it. A rate that bodies must have would cut slow clients although there is room
//! for them, and would let those stay that just keep to it. A request that has arrived is never cut
//! for another one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::peer::network;

/// How many connections there may be.
#[derive(Clone, Debug)]
pub struct PlaceLimits {
    /// Of all clients.
    pub total: usize,
    /// Of one address; of IPv6, of one /64. Not of loopback, where a proxy or a tunnel may be, nor
    /// of `proxies`.
    pub per_address: usize,
    /// The networks of our own proxies, behind which there are many clients.
    pub proxies: Vec<IpNet>,
}

pub(super) struct Places {
    limits: PlaceLimits,
    begun: Instant,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    places: HashMap<u64, Arc<ConnectionPlace>>,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection; it is free again when this is dropped.
pub(super) struct ConnectionPermit {
    pub(super) place: Arc<ConnectionPlace>,
    id: u64,
    places: Arc<Places>,
}

/// What a connection is doing.
pub(super) struct ConnectionPlace {
    /// `None` where addresses are not counted.
    address: Option<IpAddr>,
    begun: Instant,
    /// Since how many milliseconds after `begun` it is idle, or, with [`RECEIVING`], waits for a
    /// body; or [`BUSY`], or [`CUT`]. The least goes first.
    state: AtomicU64,
    cut: CancellationToken,
}

const BUSY: u64 = u64::MAX;
const CUT: u64 = u64::MAX - 1;

const RECEIVING: u64 = 1 << 63;

/// A body, or a further part of one, may take so long: a connection is not cut sooner for one.
const GRACE: Duration = Duration::from_secs(1);

/// An answer may take so long from here to the client: a connection is not cut sooner after one.
const FLUSH: Duration = Duration::from_millis(100);

impl Places {
    pub(super) fn new(limits: PlaceLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            begun: Instant::now(),
            taken: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// A place for a connection from this address, as soon as there is one; `None` when the address
    /// has as many as it may, and a request under way on each.
    pub(super) async fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionPermit> {
        let address = self.counted(peer);
        loop {
            if let Some(permit) = self.try_enter(address) {
                return Some(permit);
            }
            let is_own = self.is_full_for(address);
            let cut = self.cut_idle(|place| !is_own || place.address == address);
            if is_own && !cut {
                return None;
            }
            let freed = self.freed.notified();
            // Whatever is not to be cut yet may be by then.
            drop(tokio::time::timeout(FLUSH, freed).await);
        }
    }

    fn try_enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<ConnectionPermit> {
        if self.is_full_for(address) {
            return None;
        }
        let mut taken = self.taken();
        if taken.places.len() >= self.limits.total {
            return None;
        }
        let id = taken.next;
        taken.next += 1;
        let begun = self.begun;
        let place = Arc::new(ConnectionPlace {
            address,
            begun,
            state: AtomicU64::new(millis(begun.elapsed().saturating_sub(FLUSH))),
            cut: CancellationToken::new(),
        });
        taken.places.insert(id, place.clone());
        if let Some(address) = address {
            *taken.by_address.entry(address).or_default() += 1;
        }
        Some(ConnectionPermit {
            place,
            id,
            places: self.clone(),
        })
    }

    /// Cuts the connection that has been idle for longest. Whether one is, or is about to be.
    pub(super) fn cut_longest_idle(&self) -> bool {
        self.cut_idle(|_| true)
    }

    fn cut_idle(&self, fits: impl Fn(&ConnectionPlace) -> bool) -> bool {
        let now = self.begun.elapsed();
        let idle_until = millis(now.saturating_sub(FLUSH));
        let received_until = RECEIVING | millis(now.saturating_sub(GRACE));
        let may_go = |state| state <= idle_until || (RECEIVING..=received_until).contains(&state);
        let taken = self.taken();
        loop {
            let (mut is_cut, mut longest) = (false, None::<(u64, u64, &Arc<ConnectionPlace>)>);
            for (id, place) in taken.places.iter().filter(|(_, place)| fits(place)) {
                let state = place.state.load(Ordering::Relaxed);
                is_cut |= state == CUT;
                // Of those that became idle in one millisecond the oldest goes first.
                let is_longer = |(least, oldest, _)| (state, *id) < (least, oldest);
                if may_go(state) && longest.is_none_or(is_longer) {
                    longest = Some((state, *id, place));
                }
            }
            let Some((state, _, place)) = longest.filter(|_| !is_cut) else {
                return is_cut;
            };
            // A request may have begun meanwhile.
            if place.change(state, CUT) {
                place.cut.cancel();
                return true;
            }
        }
    }

    fn is_full_for(&self, address: Option<IpAddr>) -> bool {
        address.is_some_and(|address| {
            let count = self.taken().by_address.get(&address).copied();
            count.unwrap_or_default() >= self.limits.per_address
        })
    }

    fn counted(&self, peer: IpAddr) -> Option<IpAddr> {
        let peer = peer.to_canonical();
        let is_proxy = self.limits.proxies.iter().any(|net| net.contains(&peer));
        (!peer.is_loopback() && !is_proxy).then(|| network(peer))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.places.remove(&self.id);
        if let Some(address) = self.place.address
            && let Some(count) = taken.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                taken.by_address.remove(&address);
            }
        }
        drop(taken);
        self.places.freed.notify_one();
    }
}

impl ConnectionPlace {
    /// A request begins. `false` when the connection is being cut, and the request must not.
    pub(super) fn begin(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        // Only a cut changes the state beside the connection itself.
        state != CUT && self.change(state, BUSY)
    }

    /// A request begins whose body is still to come, or a further part of it has. `false` when the
    /// connection is being cut.
    pub(super) fn begin_to_receive(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        let now = millis(self.begun.elapsed());
        state != CUT && self.change(state, RECEIVING | now)
    }

    /// The request's answer was given.
    pub(super) fn end(&self) {
        let state = self.state.load(Ordering::Relaxed);
        if state != CUT {
            // When it is cut meanwhile, it stays so.
            self.change(state, millis(self.begun.elapsed()));
        }
    }

    /// Resolves when the connection is to be cut.
    pub(super) async fn cut(&self) {
        self.cut.cancelled().await;
    }

    fn change(&self, from: u64, to: u64) -> bool {
        let changed = self
            .state
            .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed);
        changed.is_ok()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).map_or(RECEIVING - 1, |millis| millis.min(RECEIVING - 1))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const LOOPBACK: [u8; 4] = [127, 0, 0, 1];

    fn places(total: usize, per_address: usize) -> Arc<Places> {
        Places::new(PlaceLimits {
            total,
            per_address,
            proxies: vec!["10.0.0.0/8".parse().unwrap()],
        })
    }

    async fn enter(places: &Arc<Places>, address: [u8; 4]) -> ConnectionPermit {
        let permit = places.enter(address.into()).await.unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        permit
    }

    fn is_cut(permit: &ConnectionPermit) -> bool {
        permit.place.cut.is_cancelled()
    }

    #[tokio::test(start_paused = true)]
    async fn of_those_that_came_at_once_the_first_goes() {
        let places = places(8, 8);
        let mut silent = Vec::new();
        for _ in 0..8 {
            silent.push(enter(&places, LOOPBACK).await);
        }
        let mut next = Box::pin(places.enter(LOOPBACK.into()));
        assert!(next.as_mut().now_or_never().is_none());
        let cut: Vec<_> = silent.iter().map(is_cut).collect();
        assert_eq!(cut.iter().position(|cut| *cut), Some(0));
        assert_eq!(cut.iter().filter(|cut| **cut).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_places_are_taken_the_longest_idle_goes() {
        let places = places(3, 3);
        let busy = enter(&places, LOOPBACK).await;
        assert!(busy.place.begin());
        let used = enter(&places, LOOPBACK).await;
        let silent = enter(&places, LOOPBACK).await;
        assert!(used.place.begin());
        used.place.end();

        let mut next = Box::pin(places.enter(LOOPBACK.into()));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!([&busy, &used, &silent].map(is_cut), [false, false, true]);
        assert!(
            !silent.place.begin(),
            "a request began on what is being cut"
        );
        drop(silent);
        let third = next.await.unwrap();
        assert!(third.place.begin());

        // It was answered a moment ago, which its client may not have read yet.
        let mut next = Box::pin(places.enter(LOOPBACK.into()));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(!is_cut(&used));
        tokio::time::advance(FLUSH).await;
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!([&busy, &used, &third].map(is_cut), [false, true, false]);
        drop(used);
        next.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_has_not_come_for_longest_goes_when_none_is_idle() {
        let places = places(4, 4);
        let (slow, slower) = (
            enter(&places, LOOPBACK).await,
            enter(&places, LOOPBACK).await,
        );
        let (idle, busy) = (
            enter(&places, LOOPBACK).await,
            enter(&places, LOOPBACK).await,
        );
        assert!(slow.place.begin_to_receive() && slower.place.begin_to_receive());
        // Its body has come.
        assert!(busy.place.begin_to_receive() && busy.place.begin());
        tokio::time::advance(GRACE).await;
        // A part of its body has.
        assert!(slow.place.begin_to_receive());
        let all = [&slow, &slower, &idle, &busy];

        let mut next = Box::pin(places.enter(LOOPBACK.into()));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(all.map(is_cut), [false, false, true, false]);
        drop(idle);
        let fifth = next.await.unwrap();
        assert!(fifth.place.begin());

        let mut next = Box::pin(places.enter(LOOPBACK.into()));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!([&slow, &slower, &busy].map(is_cut), [false, true, false]);
        // What is left of its body comes too late.
        assert!(!slower.place.begin() && !slower.place.begin_to_receive());
        drop(slower);
        let sixth = next.await.unwrap();
        assert!(sixth.place.begin());

        // What has just come some way is waited for.
        let mut next = Box::pin(places.enter(LOOPBACK.into()));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(!is_cut(&slow));
        tokio::time::advance(GRACE).await;
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!([&slow, &busy, &sixth].map(is_cut), [true, false, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn requests_under_way_are_waited_for() {
        let places = places(1, 1);
        let busy = enter(&places, LOOPBACK).await;
        assert!(busy.place.begin());
        let mut next = Box::pin(places.enter(LOOPBACK.into()));
        tokio::select! {
            _ = &mut next => panic!("there was no place"),
            () = tokio::time::sleep(Duration::from_secs(3600)) => {}
        }
        assert!(!is_cut(&busy));
        drop(busy);
        next.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_takes_its_part_of_the_places_and_no_more() {
        let places = places(10, 2);
        let one = [192, 0, 2, 1];
        let idle = enter(&places, one).await;
        let busy = enter(&places, one).await;
        assert!(busy.place.begin());
        let mut next = Box::pin(places.enter(one.into()));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!([&idle, &busy].map(is_cut), [true, false]);
        drop(idle);
        let third = next.await.unwrap();
        assert!(third.place.begin());
        assert!(places.enter(one.into()).await.is_none());
        // Others are not concerned, nor is what stands for many clients.
        for address in [[192, 0, 2, 2], LOOPBACK, LOOPBACK, LOOPBACK] {
            std::mem::forget(enter(&places, address).await);
        }
        for _ in 0..3 {
            std::mem::forget(enter(&places, [10, 0, 0, 1]).await);
        }
        drop(busy);
        assert!(places.enter(one.into()).await.is_some());
    }
}
