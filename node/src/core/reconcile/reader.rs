//! The side that reads the other's set, part by part, and says what differs.

use std::collections::VecDeque;

use super::super::wire::{Cut, Form, Id, Next, Pair, Read, Recall, Set, Tell, Told, Turn};
use super::names::{Namer, key_part, marks};
use super::teller::{self, Teller};
use super::{Difference, Marks, Outcome, ReconcileError, Sketch, View};
use crate::limits;

/// Bytes of a cell and of a name in a list, to choose the cheaper of the two.
const CELL_BYTES: f64 = 13.0;
const ID_BYTES: f64 = 8.0;
/// Standard deviations of the estimate by which a sketch is made larger: one in twenty is too small all the same.
const CAUTION: f64 = 1.6;

/// What the reader knows.
#[derive(Debug)]
pub(super) struct Reader {
    /// The part that is read.
    cut: Cut,
    /// How further parts are to be told.
    form: Form,
    /// Whether our last message asked for `cut`, and in which form.
    asked: Option<Form>,
    /// Documents that both have, in different versions, of the part that was read: the peer's name and ours.
    pairs: VecDeque<(Id, Id)>,
    /// Our names of the pairs of our last message, to which the peer says what it knows of them.
    recalled: (Cut, Vec<Id>),
}

/// A set could not be read from a sketch.
#[derive(Debug, Clone, Copy)]
struct TooSmall {
    /// How many documents differ at most.
    names: f64,
    ours: u64,
    theirs: u64,
}

impl Reader {
    /// Reads the peer's opening. Where it is cheaper that we tell and the peer reads, that comes of it.
    pub(super) fn open(
        view: &View<'_>,
        salt: u64,
        told: Told,
        outcome: &mut Outcome,
    ) -> Result<Result<Self, Teller>, ReconcileError> {
        if told.cut.bits != 0 {
            return Err(ReconcileError::NotAsked);
        }
        let opening = told.cut;
        let too_small = match read(view, &Namer::new(opening), told) {
            Ok(difference) => {
                let mut reader = Self::new(opening, Form::Ids);
                reader.go_on(view, Some(difference), outcome);
                return Ok(Ok(reader));
            }
            Err(too_small) => too_small,
        };
        let cells = Sketch::cells_for(too_small.names);
        let (ours, theirs) = (too_small.ours as f64, too_small.theirs as f64);
        let cut = |bits| Cut { salt, bits, index: 0, attempt: 1 };
        if ID_BYTES * ours <= (ID_BYTES * theirs).min(CELL_BYTES * cells) {
            let namer = Namer::new(cut(bits_for(ours, limits::MAX_RECONCILE_IDS)));
            let told = teller::tell(view, &namer, Form::Ids)?;
            outcome.reply = Some(Turn::Tell(Tell { recalls: vec![], told: Some(told) }));
            return Ok(Err(Teller::default()));
        }
        let mut reader = if ID_BYTES * theirs <= CELL_BYTES * cells {
            Self::new(cut(bits_for(theirs, limits::MAX_RECONCILE_IDS)), Form::Ids)
        } else {
            let bits = bits_for(cells, limits::MAX_RECONCILE_CELLS);
            Self::new(cut(bits), cells_form(too_small.names / f64::from(1u32 << bits)))
        };
        reader.asked = Some(reader.form);
        reader.go_on(view, None, outcome);
        Ok(Ok(reader))
    }

    /// Reads what the peer told instead of reading our opening: a list, or the first part of one.
    pub(super) fn take_over(view: &View<'_>, told: Told, outcome: &mut Outcome) -> Result<Self, ReconcileError> {
        let Set::Ids(_) = told.set else { return Err(ReconcileError::NotDue("a second sketch")) };
        let mut reader = Self::new(told.cut, Form::Ids);
        if told.cut.index != 0 {
            return Err(ReconcileError::NotAsked);
        }
        reader.study(view, told, outcome)?;
        Ok(reader)
    }

    fn new(cut: Cut, form: Form) -> Self {
        Self { cut, form, asked: None, pairs: VecDeque::new(), recalled: (cut, vec![]) }
    }

    pub(super) fn receive(
        &mut self,
        view: &View<'_>,
        recalls: Vec<Recall>,
        told: Option<Told>,
        outcome: &mut Outcome,
    ) -> Result<(), ReconcileError> {
        let (cut, ours) = std::mem::replace(&mut self.recalled, (self.cut, vec![]));
        if recalls.len() != ours.len() {
            return Err(ReconcileError::Recalls { expected: ours.len(), actual: recalls.len() });
        }
        for found in view.resolve(&Namer::new(cut), &ours) {
            if let Recall::Behind(marks) = &recalls[found.at] {
                outcome.send.push((found.version.key.clone(), Marks::new(cut.salt, marks.clone())));
            }
        }
        match (self.asked.take(), told) {
            (Some(form), Some(told)) if told.cut == self.cut && told.set.form() == form => {
                self.study(view, told, outcome)
            }
            (None, None) => {
                // Nothing was asked for: there were more pairs, or these were the last.
                if self.pairs.is_empty() {
                    outcome.done = true;
                } else {
                    self.go_on(view, None, outcome);
                }
                Ok(())
            }
            _ => Err(ReconcileError::NotAsked),
        }
    }

    /// Reads a part, or asks for it again.
    fn study(&mut self, view: &View<'_>, told: Told, outcome: &mut Outcome) -> Result<(), ReconcileError> {
        match read(view, &Namer::new(self.cut), told) {
            Ok(difference) => {
                if let Form::Cells(_) = self.form {
                    // All parts are alike, and of this one it is known.
                    let names = difference.added.len() + difference.removed.len();
                    self.form = cells_form(1.05 * names as f64);
                }
                self.go_on(view, Some(difference), outcome);
            }
            Err(TooSmall { names, theirs, .. }) => {
                self.asked = Some(self.again(names, theirs)?);
                self.cut.attempt += 1;
                self.go_on(view, None, outcome);
            }
        }
        Ok(())
    }

    /// The form in which a part is to be told once more.
    fn again(&self, names: f64, theirs: u64) -> Result<Form, ReconcileError> {
        let names = names * (1.0 + 0.15 * f64::from(self.cut.attempt));
        let listable = theirs <= limits::MAX_RECONCILE_IDS as u64;
        let cheaper = ID_BYTES * theirs as f64 <= CELL_BYTES * Sketch::cells_for(names);
        if listable && (cheaper || self.cut.attempt >= limits::RECONCILE_SKETCHES) {
            Ok(Form::Ids)
        } else if self.cut.attempt < 2 * limits::RECONCILE_SKETCHES {
            Ok(cells_form(names))
        } else {
            Err(ReconcileError::Unreadable { documents: theirs, attempts: self.cut.attempt })
        }
    }

    /// Says what differs as far as a message holds it, and what is due next.
    fn go_on(&mut self, view: &View<'_>, difference: Option<Difference>, outcome: &mut Outcome) {
        let cut = self.cut;
        let namer = Namer::new(cut);
        let wants = difference.map_or_else(Vec::new, |Difference { added: theirs, removed: ours }| {
            let (pairs, wants, sends) = pair_up(theirs, ours);
            for found in view.resolve(&namer, &sends) {
                outcome.send.push((found.version.key.clone(), Marks::none()));
            }
            self.pairs = pairs;
            wants
        });
        let count = self.pairs.len().min(limits::MAX_RECONCILE_PAIRS);
        let (theirs, ours): (Vec<Id>, Vec<Id>) = self.pairs.drain(..count).unzip();
        let mut pairs: Vec<Pair> = theirs.into_iter().map(|id| Pair { id, tag: 0, heads: vec![] }).collect();
        for found in view.resolve(&namer, &ours) {
            pairs[found.at].tag = found.version.tag;
            pairs[found.at].heads = marks(cut.salt, found.version.meta.heads.iter());
        }
        let next = if let Some(form) = self.asked {
            Next::Ask(cut, form)
        } else if !self.pairs.is_empty() {
            Next::More
        } else if u32::from(cut.index) + 1 < 1 << cut.bits {
            self.cut = Cut { index: cut.index + 1, attempt: 1, ..cut };
            self.asked = Some(self.form);
            Next::Ask(self.cut, self.form)
        } else {
            Next::Last
        };
        outcome.done = next == Next::Last && pairs.is_empty();
        self.recalled = (cut, ours);
        outcome.reply = Some(Turn::Read(Read { cut, wants, pairs, next }));
    }
}

impl Set {
    fn form(&self) -> Form {
        match self {
            Self::Ids(_) => Form::Ids,
            Self::Cells(cells) => Form::Cells(cells.len() as u32),
        }
    }
}

/// What the peer has and we have not, and the reverse.
fn read(view: &View<'_>, namer: &Namer, told: Told) -> Result<Difference, TooSmall> {
    match told.set {
        Set::Ids(theirs) => Ok(compare(theirs, teller::names(view, namer))),
        Set::Cells(cells) => {
            let mut sketch = Sketch::from_wire(&cells, told.count);
            let mut ours = 0;
            for id in view.ids(namer) {
                sketch.remove(id);
                ours += 1;
            }
            let (names, deviation) = sketch.estimate(told.count as i64 - ours as i64);
            let names = names + CAUTION * deviation;
            sketch.peel().ok_or(TooSmall { names, ours, theirs: told.count })
        }
    }
}

/// Takes out of two ascending lists what both have.
fn compare(theirs: Vec<Id>, ours: Vec<Id>) -> Difference {
    let mut difference = Difference::default();
    let mut ours = ours.into_iter().peekable();
    for id in theirs {
        while let Some(only) = ours.next_if(|own| *own < id) {
            difference.removed.push(only);
        }
        if ours.next_if_eq(&id).is_none() {
            difference.added.push(id);
        }
    }
    difference.removed.extend(ours);
    difference
}

/// Finds the versions of one document in two ascending lists; returns also those that have no counterpart. Two
/// documents whose names begin alike only cost bytes: the teller notices, and both are sent whole.
fn pair_up(theirs: Vec<Id>, ours: Vec<Id>) -> (VecDeque<(Id, Id)>, Vec<Id>, Vec<Id>) {
    let (mut pairs, mut wants, mut sends) = (VecDeque::new(), vec![], vec![]);
    let mut ours = ours.into_iter().peekable();
    for their in theirs {
        while let Some(only) = ours.next_if(|own| key_part(*own) < key_part(their)) {
            sends.push(only);
        }
        match ours.next_if(|own| key_part(*own) == key_part(their)) {
            Some(own) => pairs.push_back((their, own)),
            None => wants.push(their),
        }
    }
    sends.extend(ours);
    (pairs, wants, sends)
}

fn cells_form(names: f64) -> Form {
    let cells = Sketch::cells_for(names).ceil() as usize;
    Form::Cells(cells.clamp(limits::MIN_RECONCILE_CELLS, limits::MAX_RECONCILE_CELLS) as u32)
}

/// Into how many parts a set is cut, so that none is likely to be over the limit.
fn bits_for(size: f64, limit: usize) -> u8 {
    let fits = |bits: &u8| 1.25 * size / f64::from(1u32 << bits) <= limit as f64;
    (0..limits::MAX_RECONCILE_PART_BITS).find(fits).unwrap_or(limits::MAX_RECONCILE_PART_BITS)
}
