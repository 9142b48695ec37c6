//! The kit against the standard library's collections, over long random lives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec::Vec;

use super::*;
use crate::Instant;
use crate::random::Random;

/// A row that can be in a list of each of two kinds at once.
#[derive(Clone, Copy, Debug)]
struct Cell {
    links: Links,
    others: Links,
    value: u32,
}

impl Row for Cell {
    const EMPTY: Self = Self {
        links: Links::NONE,
        others: Links::NONE,
        value: 0,
    };
}

linked! {
    Cell: links as 0;
    Cell: others as 1;
}

const ROWS: usize = 37;

/// A slab and its queues beside what they should be.
struct Model<R> {
    rows: R,
    slab: Slab,
    queues: [Queue; 3],
    others: Queue<1>,
    used: BTreeMap<usize, u32>,
    /// The rows that are in no list of the first kind.
    loose: Vec<usize>,
    lists: [VecDeque<usize>; 3],
    other_list: VecDeque<usize>,
    /// Free rows that were used before, the next one last.
    free: Vec<usize>,
}

impl<R: Rows<Cell>> Model<R> {
    fn new() -> Self {
        Self {
            rows: R::NEW,
            slab: Slab::EMPTY,
            queues: [Queue::EMPTY; 3],
            others: Queue::EMPTY,
            used: BTreeMap::new(),
            loose: Vec::new(),
            lists: [const { VecDeque::new() }; 3],
            other_list: VecDeque::new(),
            free: Vec::new(),
        }
    }

    fn step(&mut self, random: &mut Random) {
        let list = random.below(3) as usize;
        match random.below(8) {
            0 | 1 => self.take(random),
            2 => self.give_back(random),
            3 | 4 => {
                if let Some(row) = pick(&self.loose, random) {
                    self.loose.retain(|other| *other != row);
                    let queue = &mut self.queues[list];
                    if random.below(2) == 0 {
                        queue.push_back(self.rows.as_mut(), row);
                        self.lists[list].push_back(row);
                    } else {
                        queue.push_front(self.rows.as_mut(), row);
                        self.lists[list].push_front(row);
                    }
                }
            }
            5 => {
                let row = self.queues[list].pop_front(self.rows.as_mut());
                assert_eq!(row, self.lists[list].pop_front());
                self.loose.extend(row);
            }
            6 => {
                let rows: Vec<usize> = self.lists[list].iter().copied().collect();
                if let Some(row) = pick(&rows, random) {
                    self.queues[list].remove(self.rows.as_mut(), row);
                    self.lists[list].retain(|other| *other != row);
                    self.loose.push(row);
                }
            }
            _ => self.other(random),
        }
    }

    fn take(&mut self, random: &mut Random) {
        let fresh = Some(self.slab.touched()).filter(|touched| *touched < ROWS);
        let expected = self.free.pop().or(fresh);
        let room = self.slab.make_room(&mut self.rows);
        let row = room.then(|| self.slab.take(self.rows.as_ref()));
        assert_eq!(
            row, expected,
            "the last given back, else the next that is fresh"
        );
        if let Some(row) = row {
            let value = random.next_u64() as u32;
            self.rows.as_mut()[row].value = value;
            assert_eq!(self.used.insert(row, value), None, "it was free");
            self.loose.push(row);
        }
    }

    /// Gives a row back that is in no list.
    fn give_back(&mut self, random: &mut Random) {
        let free: Vec<usize> = self.loose.clone();
        if let Some(row) = pick(&free, random).filter(|row| !self.other_list.contains(row)) {
            self.loose.retain(|other| *other != row);
            self.used.remove(&row);
            self.slab.give_back(self.rows.as_mut(), row);
            self.free.push(row);
        }
    }

    /// Puts a row into the list of the other kind, whatever list it is in, or takes one out.
    fn other(&mut self, random: &mut Random) {
        let used: Vec<usize> = self.used.keys().copied().collect();
        let Some(row) = pick(&used, random) else {
            return;
        };
        if self.other_list.contains(&row) {
            self.others.remove(self.rows.as_mut(), row);
            self.other_list.retain(|other| *other != row);
        } else {
            self.others.push_back(self.rows.as_mut(), row);
            self.other_list.push_back(row);
        }
    }

    fn check(&self) {
        let rows = self.rows.as_ref();
        assert_eq!(self.slab.len(), self.used.len());
        for (row, value) in &self.used {
            assert_eq!(rows[*row].value, *value, "a row is nobody else's");
        }
        for (queue, list) in self.queues.iter().zip(&self.lists) {
            assert!(queue.iter(rows).eq(list.iter().copied()));
            assert_eq!(queue.is_empty(), list.is_empty());
            assert_eq!(queue.first(), list.front().copied());
        }
        assert!(self.others.iter(rows).eq(self.other_list.iter().copied()));
    }
}

fn pick(rows: &[usize], random: &mut Random) -> Option<usize> {
    let bound = rows.len() as u64;
    (bound > 0).then(|| rows[random.below(bound) as usize])
}

fn live<R: Rows<Cell>>(seed: u64) {
    let mut random = Random::new(seed);
    let mut model = Model::<R>::new();
    for _ in 0..20_000 {
        model.step(&mut random);
        model.check();
    }
    assert_eq!(model.slab.touched(), ROWS, "all rows were used");
}

#[test]
fn rows_of_a_fixed_table_are_taken_listed_and_given_back_as_the_models_say() {
    (0..4).for_each(live::<[Cell; ROWS]>);
}

#[cfg(feature = "std")]
#[test]
fn rows_of_a_growing_table_are_those_of_a_fixed_one() {
    (0..4).for_each(live::<<Heap as Memory>::Table<Cell, ROWS>>);
}

#[cfg(feature = "std")]
#[test]
fn a_growing_table_takes_at_most_twice_what_was_needed_and_never_more_than_its_limit() {
    let mut rows = <<Heap as Memory>::Table<Cell, ROWS> as Rows<Cell>>::NEW;
    let mut slab = Slab::<0>::EMPTY;
    for needed in 1..=ROWS {
        assert!(slab.make_room(&mut rows));
        assert_eq!(slab.take(rows.as_ref()), needed - 1);
        let len = rows.as_ref().len();
        assert!(len <= (2 * needed).clamp(4, ROWS), "{len} for {needed}");
    }
    assert!(!slab.make_room(&mut rows) && !rows.grow());
}

#[test]
fn the_first_timer_is_always_the_earliest_of_those_that_are_set() {
    for seed in 0..4 {
        let mut random = Random::new(seed);
        let mut rows = [TimerSlot::EMPTY; ROWS];
        let mut timers = Timers::NONE;
        let mut model = BTreeMap::new();
        for _ in 0..20_000 {
            let owner = random.below(ROWS as u64) as usize;
            match random.below(4) {
                0 => {
                    timers.clear(&mut rows, owner);
                    model.remove(&owner);
                }
                1 => {
                    timers.set(&mut rows, owner, Instant::MAX);
                    model.remove(&owner);
                }
                _ => {
                    let at = Instant::from_micros(random.below(1_000));
                    timers.set(&mut rows, owner, at);
                    model.insert(owner, at);
                }
            }
            let first = timers.first(&rows);
            assert_eq!(first.map(|(at, _)| at), model.values().min().copied());
            assert!(first.is_none_or(|(at, owner)| model[&owner] == at));
            assert!(
                (0..ROWS).all(|owner| Timers::is_set(&rows, owner) == model.contains_key(&owner))
            );
        }
        while let Some((at, owner)) = timers.first(&rows) {
            assert_eq!(model.remove(&owner), Some(at), "each goes off once");
            assert!(model.values().all(|later| *later >= at), "in order");
            timers.clear(&mut rows, owner);
        }
        assert!(model.is_empty());
    }
}

#[test]
fn a_set_of_bits_has_what_was_inserted_and_not_removed_in_order() {
    let mut random = Random::new(3);
    let mut bits = Bits::<4>::NONE;
    let mut model = BTreeSet::new();
    for _ in 0..20_000 {
        let number = random.below(128) as usize;
        if random.below(2) == 0 {
            bits.insert(number);
            model.insert(number);
        } else {
            bits.remove(number);
            model.remove(&number);
        }
        assert!(bits.iter().eq(model.iter().copied()));
        assert_eq!(
            (bits.len(), bits.first()),
            (model.len(), model.first().copied())
        );
        assert_eq!(bits.contains(number), model.contains(&number));
    }
}
