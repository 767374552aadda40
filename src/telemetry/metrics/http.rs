//! What HTTP clients asked for and were answered, by route.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use http::StatusCode;

use super::histogram::Histogram;

/// The methods that are told apart; the last stands for every other.
const METHODS: [&str; 6] = ["GET", "POST", "PATCH", "DELETE", "OPTIONS", "other"];

/// What every path stands for that is no route.
const NO_ROUTE: &str = "none";

/// The largest status that is told apart, less one hundred.
const CODES: usize = 500;

/// From a hundred microseconds to the longest a client may wait.
const SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 30.0,
];

/// Requests that were answered.
#[derive(Debug)]
pub(super) struct Requests {
    routes: HashMap<&'static str, usize>,
    /// A place for each method of each route, and of those that are none; made when it is asked
    /// for the first time.
    places: Box<[OnceLock<Place>]>,
}

#[derive(Debug)]
struct Place {
    route: &'static str,
    method: &'static str,
    seconds: Histogram,
    by_code: Box<[AtomicU64]>,
}

impl Requests {
    /// Nobody asked for any of these routes yet.
    pub(super) fn new(routes: &[&'static str]) -> Self {
        let all = routes.iter().chain([&NO_ROUTE]).enumerate();
        let places = (0..(routes.len() + 1) * METHODS.len()).map(|_| OnceLock::new());
        Self {
            routes: all.map(|(at, route)| (*route, at)).collect(),
            places: places.collect(),
        }
    }

    /// Counts one.
    pub(super) fn count(
        &self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        let known = route.and_then(|route| self.routes.get_key_value(route));
        let Some((route, row)) = known.or_else(|| self.routes.get_key_value(NO_ROUTE)) else {
            return;
        };
        let column = METHODS.iter().position(|name| *name == method.as_str());
        let column = column.unwrap_or(METHODS.len() - 1);
        let Some(place) = self.places.get(row * METHODS.len() + column) else {
            return;
        };
        let place = place.get_or_init(|| Place::new(route, METHODS[column]));
        place.seconds.observe_time(took);
        let code = usize::from(status.as_u16()).saturating_sub(100);
        if let Some(count) = place.by_code.get(code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Route, method, status and count of everything that was answered.
    pub(super) fn counts(&self) -> impl Iterator<Item = (&'static str, &'static str, usize, u64)> {
        let places = self.places.iter().filter_map(OnceLock::get);
        places.flat_map(|place| {
            let counts = place.by_code.iter().enumerate();
            counts.filter_map(|(code, count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then_some((place.route, place.method, code + 100, count))
            })
        })
    }

    /// Route, method and times of everything that was answered.
    pub(super) fn times(&self) -> impl Iterator<Item = (&'static str, &'static str, &Histogram)> {
        let places = self.places.iter().filter_map(OnceLock::get);
        places.map(|place| (place.route, place.method, &place.seconds))
    }
}

impl Place {
    fn new(route: &'static str, method: &'static str) -> Self {
        Self {
            route,
            method,
            seconds: Histogram::new(SECONDS),
            by_code: (0..CODES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}
