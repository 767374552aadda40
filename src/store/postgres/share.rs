//! Sharing agents out among replicas: evenly, and with as few moves as possible.

use std::collections::HashMap;

/// A lease for an agent as the replicas find it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseView<'a> {
    pub(super) account: &'a str,
    /// The replica that has it, if that one lives.
    pub(super) holder: Option<i64>,
}

/// How many each of some replicas may have: a number, and one more for the first few.
#[derive(Clone, Copy, Debug)]
struct ReplicaQuota {
    base: usize,
    extra: usize,
}

impl ReplicaQuota {
    fn of(leases: usize, replicas: usize) -> Self {
        Self {
            base: leases / replicas,
            extra: leases % replicas,
        }
    }

    fn has_room(self, count: usize) -> bool {
        count < self.base || (count == self.base && self.extra > 0)
    }

    /// Counts one more for a replica that had `count`.
    fn take(&mut self, count: usize) {
        if count >= self.base {
            self.extra = self.extra.saturating_sub(1);
        }
    }
}

/// For each lease the replica that is to have it; every replica comes to the same answer. `living`
/// is in order, and not empty.
pub(super) fn share(leases: &[LeaseView<'_>], living: &[i64]) -> Vec<i64> {
    let mut all = ReplicaQuota::of(leases.len(), living.len());
    let mut of_account: HashMap<&str, ReplicaQuota> = HashMap::new();
    for lease in leases {
        let count = leases.iter().filter(|one| one.account == lease.account);
        of_account
            .entry(lease.account)
            .or_insert_with(|| ReplicaQuota::of(count.count(), living.len()));
    }
    let mut total: HashMap<i64, usize> = HashMap::new();
    let mut share: HashMap<(&str, i64), usize> = HashMap::new();
    let mut shares = vec![None; leases.len()];
    // A replica keeps the leases that it has, as long as that is even.
    for (lease, to) in leases.iter().zip(&mut shares) {
        let Some(holder) = lease.holder.filter(|holder| living.contains(holder)) else {
            continue;
        };
        let count = *total.entry(holder).or_default();
        let here = *share.entry((lease.account, holder)).or_default();
        let Some(account) = of_account.get_mut(lease.account) else {
            continue;
        };
        if all.has_room(count) && account.has_room(here) {
            all.take(count);
            account.take(here);
            total.insert(holder, count + 1);
            share.insert((lease.account, holder), here + 1);
            *to = Some(holder);
        }
    }
    // The rest goes to the replica that has least.
    for (lease, to) in leases.iter().zip(&mut shares) {
        if to.is_some() {
            continue;
        }
        let counts = |replica: &i64| {
            let count = total.get(replica).copied().unwrap_or(0);
            let here = share.get(&(lease.account, *replica)).copied().unwrap_or(0);
            (here, count, *replica)
        };
        let open = living
            .iter()
            .filter(|replica| all.has_room(counts(replica).1));
        let Some(replica) = open.copied().min_by_key(|replica| counts(replica)) else {
            continue;
        };
        let (here, count, _) = counts(&replica);
        all.take(count);
        total.insert(replica, count + 1);
        share.insert((lease.account, replica), here + 1);
        *to = Some(replica);
    }
    let last = living.last().copied().unwrap_or_default();
    shares.into_iter().map(|to| to.unwrap_or(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leases(accounts: &[(&'static str, usize)]) -> Vec<LeaseView<'static>> {
        let lease = |account| LeaseView {
            account,
            holder: None,
        };
        accounts
            .iter()
            .flat_map(|(account, count)| std::iter::repeat_n(lease(*account), *count))
            .collect()
    }

    fn held<'a>(leases: &[LeaseView<'a>], shares: &[i64]) -> Vec<LeaseView<'a>> {
        let held = |(lease, holder): (&LeaseView<'a>, &i64)| LeaseView {
            holder: Some(*holder),
            ..*lease
        };
        leases.iter().zip(shares).map(held).collect()
    }

    fn assert_even(leases: &[LeaseView<'_>], shares: &[i64], living: &[i64]) {
        let spread = |counts: Vec<usize>| {
            counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0)
        };
        let count = |replica: &i64| shares.iter().filter(|to| *to == replica).count();
        assert!(
            spread(living.iter().map(count).collect()) <= 1,
            "{shares:?}"
        );
        for lease in leases {
            let count = |replica: &i64| {
                let both = leases.iter().zip(shares);
                both.filter(|(other, to)| other.account == lease.account && *to == replica)
                    .count()
            };
            let counts = living.iter().map(count).collect();
            assert!(spread(counts) <= 1, "{}: {shares:?}", lease.account);
        }
    }

    #[test]
    fn agents_are_shared_evenly_in_all_and_of_each_account() {
        let cases: [&[(&str, usize)]; 5] = [
            &[("a", 6)],
            &[("a", 1), ("b", 1), ("c", 1), ("d", 1)],
            &[("a", 2), ("b", 3), ("c", 4)],
            &[("a", 1)],
            &[],
        ];
        for accounts in cases {
            for replicas in 1..=4 {
                let living: Vec<i64> = (1..=replicas).collect();
                let leases = leases(accounts);
                assert_even(&leases, &share(&leases, &living), &living);
            }
        }
    }

    #[test]
    fn nobody_moves_who_need_not() {
        let free = leases(&[("a", 4), ("b", 2)]);
        let two = share(&free, &[1, 2]);
        let with_two = held(&free, &two);
        assert_eq!(share(&with_two, &[1, 2]), two);
        let three = share(&with_two, &[1, 2, 3]);
        assert_even(&free, &three, &[1, 2, 3]);
        let moved = two.iter().zip(&three).filter(|(a, b)| a != b).count();
        assert_eq!(moved, 2);
        // One that dies: only what it had moves.
        let left = share(&held(&free, &three), &[1, 3]);
        assert_even(&free, &left, &[1, 3]);
        let stayed = three.iter().zip(&left).all(|(a, b)| a == b || *a == 2);
        assert!(stayed, "{three:?} {left:?}");
    }
}
