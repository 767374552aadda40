//! How much one answer of the store holds.

/// What a page holds at most, as its rows weigh: an answer made of it stays below 4 MiB.
const MAX_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// What a page holds at most; whichever is reached first. Its first row is in it in any case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageSize {
    /// Rows.
    pub rows: usize,
    /// Bytes, as the rows weigh.
    pub bytes: usize,
}

/// What a look-up takes at most.
const SMALL: usize = 256 * 1024;

impl PageSize {
    /// So many rows for the gateway itself, which never waits behind a client's page.
    pub fn small(rows: usize) -> Self {
        Self { rows, bytes: SMALL }
    }

    /// Whether so much may be read that look-ups must not wait behind it.
    pub(in crate::store) fn is_list(self) -> bool {
        self.rows > 1 && self.bytes > SMALL
    }
}

impl From<usize> for PageSize {
    /// So many rows, and as many bytes as a page may have.
    fn from(rows: usize) -> Self {
        Self {
            rows,
            bytes: MAX_BYTES,
        }
    }
}

/// A page that is being filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filling {
    size: PageSize,
    rows: usize,
    bytes: usize,
}

impl Filling {
    pub(super) fn new(size: PageSize) -> Self {
        Self {
            size,
            rows: 0,
            bytes: 0,
        }
    }

    /// Counts a row of this weight in, if the page has room for it.
    pub(super) fn takes(&mut self, weight: usize) -> bool {
        let bytes = self.bytes.saturating_add(weight);
        let fits = self.rows == 0 || bytes <= self.size.bytes;
        if self.has_all_rows() || !fits {
            return false;
        }
        self.rows += 1;
        self.bytes = bytes;
        true
    }

    /// Whether as many rows are in it as may.
    pub(super) fn has_all_rows(&self) -> bool {
        self.rows >= self.size.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_takes_rows_until_it_is_full_and_its_first_whatever_it_weighs() {
        let size = PageSize { rows: 3, bytes: 10 };
        let taken = |weights: &[usize]| {
            let mut page = Filling::new(size);
            let weights = weights.iter();
            weights.take_while(|weight| page.takes(**weight)).count()
        };
        assert_eq!(taken(&[1, 1, 1, 1]), 3);
        assert_eq!(taken(&[5, 5, 1]), 2);
        assert_eq!(taken(&[5, 6]), 1);
        assert_eq!(taken(&[usize::MAX, 1]), 1);
        assert!(!Filling::new(0.into()).takes(1));
    }
}
