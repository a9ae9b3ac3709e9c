//! [`Ranks`]: the ranks of a program, in rows and columns, and what travels between them.

use crate::error::Error;
use crate::record::{Call, FAILED, FINE, LEAVING, Record, check};
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence, Root};
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::marker::PhantomData;
use wgpu_softmax::Rows;

/// The longest message of an error that travels, in characters.
const MESSAGE_CHARS: usize = 2000;

/// What has travelled for a rank, without what MPI adds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Collective operations.
    pub gathers: u64,
    /// Bytes of its own that others have got, each counted once however many have got it.
    pub sent: u64,
    /// Bytes of others.
    pub received: u64,
}

/// The ranks of a program as a grid: groups of `vocab_ranks` neighbours share rows, each with a part of the classes, and the
/// groups have different rows. So rank r has part `r % vocab_ranks` of the rows of group `r / vocab_ranks`.
///
/// All calls are collective: every rank makes the same ones in the same order. Each begins with a record of a few words from
/// every rank, also from one that has failed, so that all of them return the same [`Error`], and none waits for what will not
/// come. A rank that returns or panics says so when its `Ranks` is dropped, which waits for the others too, and their calls give
/// [`Error::Left`]. One that ends without that, by `exit` or a signal, is MPI's affair: `mpirun` ends the others. Errors of MPI
/// itself end them all. In collective operations of your own nobody looks after you: [agree](Ranks::agree) before them. And have
/// one `Ranks` at a time: of two, a rank that leaves would wait in the one for those that wait for it in the other.
pub struct Ranks<'u> {
    world: SimpleCommunicator,
    vocab: SimpleCommunicator,
    data: SimpleCommunicator,
    traffic: Cell<Traffic>,
    left: RefCell<Option<Error>>,
    /// MPI must not end before this does.
    universe: PhantomData<&'u Universe>,
}

impl<'u> Ranks<'u> {
    /// All ranks of the program, of which `vocab_ranks` share a row: 1 for data-parallel losses, all for one batch.
    ///
    /// # Errors
    /// [`Error::Grid`], and ranks that do not agree about it.
    pub fn new(universe: &'u Universe, vocab_ranks: usize) -> Result<Self, Error> {
        Self::over(universe, &universe.world(), vocab_ranks)
    }

    /// As [`Ranks::new`], of the ranks of a communicator.
    ///
    /// # Errors
    /// As [`Ranks::new`].
    pub fn over(universe: &'u Universe, ranks: &impl Communicator, vocab_ranks: usize) -> Result<Self, Error> {
        let _ = universe;
        // A communicator of our own: no message of the caller's can meet one of ours.
        let world = ranks.duplicate();
        let (rank, count) = (world.rank(), world.size());
        let mut grid = Self {
            vocab: world.duplicate(),
            data: world.duplicate(),
            world,
            traffic: Cell::default(),
            left: RefCell::default(),
            universe: PhantomData,
        };
        let asked = Record {
            call: Call::Grid as u64,
            classes: vocab_ranks as u64,
            ..Record::default()
        };
        let all = grid.records(asked, "")?;
        grid.same_classes(&all)?;
        let group = i32::try_from(vocab_ranks).ok();
        let group = group.filter(|&v| v > 0 && count % v == 0);
        let group = group.ok_or(Error::Grid {
            ranks: count as usize,
            vocab_ranks,
        })?;
        let part = |color| mpi::topology::Color::with_value(color);
        let split = |color| grid.world.split_by_color_with_key(part(color), rank);
        if let (Some(vocab), Some(data)) = (split(rank / group), split(rank % group)) {
            (grid.vocab, grid.data) = (vocab, data);
        }
        Ok(grid)
    }

    fn same_classes(&self, all: &[Record]) -> Result<(), Error> {
        let other = all.iter().position(|r| r.classes != all[0].classes);
        other.map_or(Ok(()), |rank| {
            Err(Error::Differs {
                what: "the ranks that share a row",
                ranks: [0, rank],
                values: [all[0].classes, all[rank].classes],
            })
        })
    }

    /// This rank's number.
    pub fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    /// How many ranks share a row.
    pub fn vocab_ranks(&self) -> usize {
        self.vocab.size() as usize
    }

    /// Which part of its rows this rank has.
    pub fn vocab_rank(&self) -> usize {
        self.vocab.rank() as usize
    }

    /// How many groups of ranks there are, each with rows of its own.
    pub fn data_ranks(&self) -> usize {
        self.data.size() as usize
    }

    /// The number of this rank's group.
    pub fn data_rank(&self) -> usize {
        self.data.rank() as usize
    }

    /// What has travelled for this rank so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    /// This rank's part of `rows` rows of `classes` classes, by [`Rows::even_shards`].
    ///
    /// # Errors
    /// [`Error::TooFewClasses`], which all ranks find alike without asking each other.
    pub fn shard(&self, rows: usize, classes: usize) -> Result<Rows, Error> {
        let (grid, vocab_ranks) = (Rows::shard_grid(classes).max(1), self.vocab_ranks());
        let shards = Rows::even_shards(classes, vocab_ranks);
        match shards.get(self.vocab_rank()) {
            Some(&(first, held)) if shards.len() == vocab_ranks => Ok(Rows::new(rows, held).shard(first, classes)),
            _ => Err(Error::TooFewClasses {
                classes,
                spans: classes.div_ceil(grid),
                grid,
                vocab_ranks,
            }),
        }
    }

    /// A result that each rank has found by itself, say its `Gpu`, if all have one; else the error of the first that has none.
    ///
    /// # Errors
    /// [`Error::Failed`] where a rank has an error, and those of every call.
    ///
    /// ```no_run
    /// use wgpu_softmax_mpi::{Error, Ranks, wgpu_softmax::Gpu};
    /// let Some(universe) = mpi::initialize() else { return Ok(()) };
    /// let ranks = Ranks::new(&universe, 1)?;
    /// let gpu = ranks.agree(Gpu::new())?; // on all ranks, or on none
    /// # Ok::<(), Error>(())
    /// ```
    pub fn agree<T, E: Display>(&self, own: Result<T, E>) -> Result<T, Error> {
        self.settle(own, Record::default()).map(|(value, _)| value)
    }

    /// As [`Ranks::agree`]; gives also what all ranks say of themselves.
    pub(crate) fn settle<T, E: Display>(&self, own: Result<T, E>, record: Record) -> Result<(T, Vec<Record>), Error> {
        let message = match &own {
            Ok(_) => String::new(),
            Err(error) => error.to_string().chars().take(MESSAGE_CHARS).collect(),
        };
        let state = if own.is_ok() { FINE } else { FAILED };
        let record = Record {
            state,
            message: message.len() as u64,
            ..record
        };
        let all = self.records(record, &message)?;
        check(&all, self.vocab_ranks())?;
        match own {
            Ok(value) => Ok((value, all)),
            // `records` has returned an error.
            Err(_) => Err(Error::Failed {
                rank: self.rank(),
                message,
                failed: 1,
            }),
        }
    }

    /// Gathers the records of all ranks, and if some have failed, the message of the first.
    fn records(&self, own: Record, message: &str) -> Result<Vec<Record>, Error> {
        if let Some(left) = self.left.borrow().clone() {
            return Err(left);
        }
        let mut all = vec![Record::default(); self.world.size() as usize];
        let words: &mut [u64] = bytemuck::cast_slice_mut(&mut all);
        (self.world).all_gather_into(bytemuck::cast_slice::<Record, u64>(&[own]), words);
        self.count(&self.world, size_of::<Record>(), size_of_val(&all[..]));
        if let Some(rank) = all.iter().position(|r| r.state == LEAVING) {
            let left = Error::Left { rank };
            *self.left.borrow_mut() = Some(left.clone());
            return Err(left);
        }
        let Some(rank) = all.iter().position(|r| r.state == FAILED) else {
            return Ok(all);
        };
        let mut bytes = vec![0u8; all[rank].message as usize];
        if rank == self.rank() {
            bytes.copy_from_slice(message.as_bytes());
        }
        (self.world.process_at_rank(rank as i32)).broadcast_into(&mut bytes[..]);
        Err(Error::Failed {
            rank,
            message: String::from_utf8_lossy(&bytes).into_owned(),
            failed: all.iter().filter(|r| r.state == FAILED).count(),
        })
    }

    /// What the ranks that share a row have, one after the other. `counts` are known already.
    pub(crate) fn gather_row<T: Equivalence + Default + Clone>(&self, own: &[T], counts: &[u64]) -> Vec<T> {
        self.gather(&self.vocab, own, counts)
    }

    /// What the ranks that have this part of other rows have, in the order of the rows.
    pub(crate) fn gather_data<T: Equivalence + Default + Clone>(&self, own: &[T], counts: &[u64]) -> Vec<T> {
        self.gather(&self.data, own, counts)
    }

    fn gather<T: Equivalence + Default + Clone>(
        &self,
        ranks: &SimpleCommunicator,
        own: &[T],
        counts: &[u64],
    ) -> Vec<T> {
        // `fits` has checked the sum of all counts.
        let counts: Vec<i32> = counts.iter().map(|&n| n as i32).collect();
        let offsets: Vec<i32> = (counts.iter())
            .scan(0, |end, n| {
                *end += n;
                Some(*end - n)
            })
            .collect();
        let mut all = vec![T::default(); counts.iter().map(|&n| n as usize).sum()];
        ranks.all_gather_varcount_into(own, &mut PartitionMut::new(&mut all[..], counts, offsets));
        self.count(ranks, size_of_val(own), size_of_val(&all[..]));
        all
    }

    fn count(&self, ranks: &SimpleCommunicator, own: usize, all: usize) {
        let (before, received) = (self.traffic.get(), (all - own) as u64);
        // A rank that is alone sends nothing.
        let sent = if ranks.size() > 1 { own as u64 } else { 0 };
        self.traffic.set(Traffic {
            gathers: before.gathers + 1,
            sent: before.sent + sent,
            received: before.received + received,
        });
    }
}

/// Checks that so many words can be gathered at once.
pub(crate) fn fits(counts: &[u64]) -> Result<(), Error> {
    let words = counts.iter().fold(0u64, |sum, &n| sum.saturating_add(n));
    match i32::try_from(words) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::TooMany { words }),
    }
}

impl Drop for Ranks<'_> {
    /// Says that it leaves to those that may be in a call, or be about to make one.
    fn drop(&mut self) {
        if self.left.borrow().is_none() && !mpi::is_finalized() {
            let leaving = Record {
                state: LEAVING,
                ..Record::default()
            };
            // It is an error, since this rank leaves.
            let _ = self.records(leaving, "");
        }
    }
}
