//! Who runs which agent: evenly, and with as few moves as can be.

use std::collections::HashMap;

/// A place for an agent as the replicas find it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) account: &'a str,
    /// The replica that has it, if that one lives.
    pub(super) holder: Option<i64>,
}

/// How many each of some replicas may have: a number, and one more for the first few.
#[derive(Clone, Copy, Debug)]
struct Quota {
    base: usize,
    extra: usize,
}

impl Quota {
    fn of(places: usize, replicas: usize) -> Self {
        Self {
            base: places / replicas,
            extra: places % replicas,
        }
    }

    fn has_room(self, count: usize) -> bool {
        count < self.base || (count == self.base && self.extra > 0)
    }

    /// Counts one more for somebody who had `count`.
    fn take(&mut self, count: usize) {
        if count >= self.base {
            self.extra = self.extra.saturating_sub(1);
        }
    }
}

/// For each place the replica that is to have it; every replica comes to the same answer. `living`
/// is in order, and not empty.
pub(super) fn share(places: &[Place<'_>], living: &[i64]) -> Vec<i64> {
    let mut all = Quota::of(places.len(), living.len());
    let mut of_account: HashMap<&str, Quota> = HashMap::new();
    for place in places {
        let count = places.iter().filter(|one| one.account == place.account);
        of_account
            .entry(place.account)
            .or_insert_with(|| Quota::of(count.count(), living.len()));
    }
    let mut total: HashMap<i64, usize> = HashMap::new();
    let mut share: HashMap<(&str, i64), usize> = HashMap::new();
    let mut shares = vec![None; places.len()];
    // Who has one keeps it, as long as that is even.
    for (place, to) in places.iter().zip(&mut shares) {
        let Some(holder) = place.holder.filter(|holder| living.contains(holder)) else {
            continue;
        };
        let count = *total.entry(holder).or_default();
        let here = *share.entry((place.account, holder)).or_default();
        let Some(account) = of_account.get_mut(place.account) else {
            continue;
        };
        if all.has_room(count) && account.has_room(here) {
            all.take(count);
            account.take(here);
            total.insert(holder, count + 1);
            share.insert((place.account, holder), here + 1);
            *to = Some(holder);
        }
    }
    // The rest goes to whoever has least.
    for (place, to) in places.iter().zip(&mut shares) {
        if to.is_some() {
            continue;
        }
        let counts = |replica: &i64| {
            let count = total.get(replica).copied().unwrap_or(0);
            let here = share.get(&(place.account, *replica)).copied().unwrap_or(0);
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
        share.insert((place.account, replica), here + 1);
        *to = Some(replica);
    }
    let last = living.last().copied().unwrap_or_default();
    shares.into_iter().map(|to| to.unwrap_or(last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(accounts: &[(&'static str, usize)]) -> Vec<Place<'static>> {
        let place = |account| Place {
            account,
            holder: None,
        };
        accounts
            .iter()
            .flat_map(|(account, count)| std::iter::repeat_n(place(*account), *count))
            .collect()
    }

    fn held<'a>(places: &[Place<'a>], shares: &[i64]) -> Vec<Place<'a>> {
        let held = |(place, holder): (&Place<'a>, &i64)| Place {
            holder: Some(*holder),
            ..*place
        };
        places.iter().zip(shares).map(held).collect()
    }

    fn assert_even(places: &[Place<'_>], shares: &[i64], living: &[i64]) {
        let spread = |counts: Vec<usize>| {
            counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0)
        };
        let count = |replica: &i64| shares.iter().filter(|to| *to == replica).count();
        assert!(
            spread(living.iter().map(count).collect()) <= 1,
            "{shares:?}"
        );
        for place in places {
            let count = |replica: &i64| {
                let both = places.iter().zip(shares);
                both.filter(|(other, to)| other.account == place.account && *to == replica)
                    .count()
            };
            let counts = living.iter().map(count).collect();
            assert!(spread(counts) <= 1, "{}: {shares:?}", place.account);
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
                let places = places(accounts);
                assert_even(&places, &share(&places, &living), &living);
            }
        }
    }

    #[test]
    fn nobody_moves_who_need_not() {
        let free = places(&[("a", 4), ("b", 2)]);
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
