//! A sketch of a set of names: small, and two of them tell in what their sets differ.
//!
//! An invertible Bloom lookup table (Goodrich and Mitzenmacher, 2011): every name is in a few cells, a cell holds
//! the number and the exclusive or of its names. Subtracting the other side's names leaves the difference; a cell with
//! one name gives it away, taking it out of its other cells lays open further ones.
//!
//! **Cost.** A name costs one multiplication per cell it is in, whatever the sketch's size; a difference of d names
//! needs [`Sketch::cells_for`] cells of 13 bytes. **Rejected**: rateless tables (Yang et al., 2024): a round here is
//! computed anew over the present set, so the size is fixed when it begins, and for a fixed size their wider spread
//! of degrees costs 10 % more cells and 14 times the time (`docs/adr/0006-reconciliation.md`).

use super::super::wire::{Cell, Id};

/// From this many cells on a name is in 3 of them, below in 4: with few cells, two names would too often share all 3.
const THREE_FROM_CELLS: usize = 640;

/// Names that only one side has.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Those that were added, ascending.
    pub added: Vec<Id>,
    /// Those that were taken out, ascending.
    pub removed: Vec<Id>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    count: i64,
    ids: u64,
    checks: u32,
}

/// The sketch.
#[derive(Debug)]
pub struct Sketch {
    cells: Vec<Sum>,
}

impl Sketch {
    /// Of nothing.
    pub fn new(cells: usize) -> Self {
        Self { cells: vec![Sum::default(); cells] }
    }

    /// As a peer sent it.
    pub fn from_wire(cells: &[Cell], names: u64) -> Self {
        let average = average(cells.len(), names);
        let sum = |cell: &Cell| Sum {
            count: average.wrapping_add(i64::from(cell.deviation)),
            ids: cell.ids,
            checks: cell.checks,
        };
        Self { cells: cells.iter().map(sum).collect() }
    }

    /// As it is sent; `names` is how many were added.
    pub fn to_wire(&self, names: u64) -> Vec<Cell> {
        let average = average(self.cells.len(), names);
        let cell = |sum: &Sum| Cell { deviation: (sum.count - average) as i32, ids: sum.ids, checks: sum.checks };
        self.cells.iter().map(cell).collect()
    }

    /// Adds a name.
    pub fn add(&mut self, id: Id) {
        self.toggle(id, 1);
    }

    /// Takes out a name, whether or not it was added.
    pub fn remove(&mut self, id: Id) {
        self.toggle(id, -1);
    }

    /// Cells for a difference of `names`: 99 of 100 such sketches can be read, or 97 of less than 50 names. A fit to the measurement of the ADR.
    pub fn cells_for(names: f64) -> f64 {
        1.25 * names + 3.0 * names.sqrt() + 8.0
    }

    /// Estimates how many names differ, with the standard deviation of that; `excess` of them more were added than
    /// taken out. From the variance of the counts, which every name raises alike whatever its sign.
    pub fn estimate(&self, excess: i64) -> (f64, f64) {
        let (layout, cells) = (Layout::of(self.cells.len()), self.cells.len() as f64);
        let mean = excess as f64 / layout.width as f64;
        let squares: f64 = self.cells.iter().map(|sum| (sum.count as f64 - mean).powi(2)).sum();
        let estimate = (squares / layout.hashes as f64).max(excess.unsigned_abs() as f64);
        (estimate, estimate * (2.0 / cells).sqrt())
    }

    /// Reads the names. `None`: they are too many, or the cells are no sketch of a difference.
    pub fn peel(mut self) -> Option<Difference> {
        let layout = Layout::of(self.cells.len());
        let mut found = Difference::default();
        let mut ready: Vec<usize> = (0..self.cells.len()).filter(|at| self.single(&layout, *at).is_some()).collect();
        while let Some(at) = ready.pop() {
            let Some((id, sign)) = self.single(&layout, at) else { continue };
            let list = if sign > 0 { &mut found.added } else { &mut found.removed };
            list.push(id);
            // An honest sketch has fewer names than cells; a hostile one must not keep us here for ever.
            if found.added.len() + found.removed.len() > self.cells.len() {
                return None;
            }
            self.toggle(id, -sign);
            ready.extend(layout.places(id).filter(|place| self.single(&layout, *place).is_some()));
        }
        let empty = self.cells.iter().all(|sum| *sum == Sum::default());
        found.added.sort_unstable();
        found.removed.sort_unstable();
        let once = |ids: &[Id]| ids.is_sorted_by(|a, b| a < b);
        (empty && once(&found.added) && once(&found.removed)).then_some(found)
    }

    fn toggle(&mut self, id: Id, sign: i64) {
        let check = check(id);
        for place in Layout::of(self.cells.len()).places(id) {
            let sum = &mut self.cells[place];
            sum.count = sum.count.wrapping_add(sign);
            sum.ids ^= id.0;
            sum.checks ^= check;
        }
    }

    /// The only name of a cell, and on which side it is.
    fn single(&self, layout: &Layout, at: usize) -> Option<(Id, i64)> {
        let sum = &self.cells[at];
        let id = Id(sum.ids);
        let single = matches!(sum.count, 1 | -1) && sum.checks == check(id) && layout.places(id).any(|p| p == at);
        single.then_some((id, sum.count))
    }
}

/// Which cells a name is in: one of each of a few equal stretches.
#[derive(Debug, Clone, Copy)]
struct Layout {
    hashes: usize,
    width: usize,
}

impl Layout {
    fn of(cells: usize) -> Self {
        let hashes = if cells < THREE_FROM_CELLS { 4 } else { 3 };
        Self { hashes, width: cells / hashes }
    }

    fn places(self, id: Id) -> impl Iterator<Item = usize> {
        let mut state = id.0;
        (0..self.hashes).map(move |stretch| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let within = (u128::from(mix(state)) * self.width as u128) >> 64;
            stretch * self.width + within as usize
        })
    }
}

/// Names in an average cell.
fn average(cells: usize, names: u64) -> i64 {
    (names / Layout::of(cells).width.max(1) as u64) as i64
}

fn check(id: Id) -> u32 {
    (mix(!id.0) >> 32) as u32
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, 2014).
fn mix(mut state: u64) -> u64 {
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sketch of names that differ, the first `added` of them added.
    fn sketch(cells: usize, names: u64, added: u64, salt: u64) -> Sketch {
        let mut sketch = Sketch::new(cells);
        let id = |n: u64| Id(mix(mix(salt) ^ n));
        (0..added).for_each(|n| sketch.add(id(n)));
        (added..names).for_each(|n| sketch.remove(id(n)));
        sketch
    }

    #[test]
    fn sketches_of_the_stated_size_can_be_read() {
        for (names, most) in [(1, 0), (5, 5), (20, 5), (80, 3), (300, 3), (1000, 3)] {
            let cells = Sketch::cells_for(names as f64) as usize;
            let unread = (0..100).filter(|salt| sketch(cells.max(16), names, names / 3, *salt).peel().is_none());
            assert!(unread.count() <= most, "{names} names in {cells} cells");
        }
    }

    #[test]
    fn a_sketch_that_is_too_small_says_what_it_would_need() {
        for (names, added) in [(500, 250), (500, 500), (5000, 100), (100_000, 60_000)] {
            let excess = 2 * added as i64 - names as i64;
            let estimates = (0..20).map(|salt| {
                let sketch = sketch(128, names, added, salt);
                let estimate = sketch.estimate(excess).0;
                assert_eq!(sketch.peel(), None);
                estimate
            });
            let mean = estimates.sum::<f64>() / 20.0 / names as f64;
            assert!((0.9..1.1).contains(&mean), "{names} names estimated at {mean} of that");
        }
    }

    #[test]
    fn the_wire_keeps_it() {
        let sketch = sketch(700, 10_000, 10_000, 1);
        let again = Sketch::from_wire(&sketch.to_wire(10_000), 10_000);
        assert_eq!(again.cells, sketch.cells);
    }

    proptest! {
        #[test]
        fn garbage_neither_panics_nor_lasts(
            cells in prop::collection::vec((any::<i32>(), any::<u64>(), any::<u32>()), 16..200),
            names: u64,
            forged in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<bool>()), 0..40),
        ) {
            let wire: Vec<_> =
                cells.iter().map(|(deviation, ids, checks)| Cell { deviation: *deviation, ids: *ids, checks: *checks }).collect();
            let mut sketch = Sketch::from_wire(&wire, names);
            // Cells that seem to hold one name each, with nothing in its other cells.
            for (at, id, positive) in forged {
                let at = at.index(sketch.cells.len());
                sketch.cells[at] = Sum { count: if positive { 1 } else { -1 }, ids: id, checks: check(Id(id)) };
            }
            sketch.estimate(names as i64);
            let _ = sketch.peel();
        }
    }
}
