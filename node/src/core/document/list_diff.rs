//! Which elements of a list stay, change in place, come and go.

use std::collections::BTreeMap;

use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::json::Json;
use super::limits::MAX_LIST_ALIGNMENT;
use super::render::{render_json, render_node};
use super::view::Node;

/// One step through the old and the new list, in order. Equal elements are not mentioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListEdit {
    /// Old element `old` becomes new element `new`, in place.
    Change { old: usize, new: usize },
    /// Old element `old` goes.
    Remove { old: usize },
    /// New element `new` comes in before old element `before` (which may be one past the end).
    Insert { before: usize, new: usize },
}

/// The edits from `old` to `new`.
///
/// Lists of equal length are taken as tuples: element by element in place, so that two replicas that
/// edit a `[latitude, longitude]` concurrently never end up with three numbers. Otherwise what both
/// share at the ends is trimmed and the middle is aligned by Myers; a run that is replaced is paired
/// in order, so that an object that changed *and* moved by an insertion still merges field by field.
pub(super) fn list_edits(old: &[Node], new: &[Json]) -> Vec<ListEdit> {
    edits_between(old, new, Node::equals, render_node)
}

/// The same of a list that is in no document.
pub(super) fn json_list_edits(old: &[Json], new: &[Json]) -> Vec<ListEdit> {
    edits_between(old, new, |old, new| old == new, render_json)
}

fn edits_between<T>(
    old: &[T],
    new: &[Json],
    equals: impl Fn(&T, &Json) -> bool,
    render: impl Fn(&T, &mut String),
) -> Vec<ListEdit> {
    if old.len() == new.len() {
        return (0..old.len())
            .filter(|&index| !equals(&old[index], &new[index]))
            .map(|index| ListEdit::Change { old: index, new: index })
            .collect();
    }
    let shorter = old.len().min(new.len());
    let head = (0..shorter).take_while(|&i| equals(&old[i], &new[i])).count();
    let tail = (1..=shorter - head).take_while(|&i| equals(&old[old.len() - i], &new[new.len() - i])).count();
    let old_middle = &old[head..old.len() - tail];
    let new_middle = &new[head..new.len() - tail];
    let mut edits = Vec::new();
    if old_middle.is_empty() || new_middle.is_empty() || old_middle.len() * new_middle.len() > MAX_LIST_ALIGNMENT {
        replace(&mut edits, (head, old_middle.len()), (head, new_middle.len()));
        return edits;
    }
    let mut numbers = BTreeMap::new();
    let old_numbers: Vec<usize> =
        old_middle.iter().map(|value| number(&mut numbers, |out| render(value, out))).collect();
    let new_numbers: Vec<usize> =
        new_middle.iter().map(|json| number(&mut numbers, |out| render_json(json, out))).collect();
    // Only the lengths of the steps are used: of a step that it moved past equal elements, `similar` 2.7 leaves the old
    // indices as they were.
    let (mut from, mut to) = (head, head);
    for step in capture_diff_slices(Algorithm::Myers, &old_numbers, &new_numbers) {
        let (old_len, new_len) = (step.old_range().len(), step.new_range().len());
        if !matches!(step, DiffOp::Equal { .. }) {
            replace(&mut edits, (from, old_len), (to, new_len));
        }
        from += old_len;
        to += new_len;
    }
    edits
}

/// Equal values get equal numbers: comparing those is what the alignment does most.
fn number(numbers: &mut BTreeMap<String, usize>, render: impl FnOnce(&mut String)) -> usize {
    let mut text = String::new();
    render(&mut text);
    let next = numbers.len();
    *numbers.entry(text).or_insert(next)
}

/// Pairs the two runs `(start, length)` in order; what is left over comes or goes.
fn replace(edits: &mut Vec<ListEdit>, (old, old_len): (usize, usize), (new, new_len): (usize, usize)) {
    let paired = old_len.min(new_len);
    edits.extend((0..paired).map(|i| ListEdit::Change { old: old + i, new: new + i }));
    edits.extend((paired..old_len).map(|i| ListEdit::Remove { old: old + i }));
    edits.extend((paired..new_len).map(|i| ListEdit::Insert { before: old + old_len, new: new + i }));
}
