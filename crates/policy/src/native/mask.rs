//! Sets of CPUs as values.

/// Words of a set: room for 1,024 CPUs.
const WORDS: usize = 16;

/// A set of CPUs as it was at a moment: CPU `n` is bit `n % 64` of word `n / 64`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MaskWords(pub [u64; WORDS]);

/// Where a set of CPUs is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaskSource {
    /// A task's affinity; the host's handle of the task.
    Task(u64),
    /// The idle CPUs.
    Idle,
    /// The CPUs of wholly idle cores.
    IdleSmt,
    /// The idle CPUs of a node.
    IdleNode(i32),
    /// The CPUs of wholly idle cores of a node.
    IdleSmtNode(i32),
    /// The CPUs that are online.
    Online,
    /// The CPUs that can be.
    Possible,
    /// One of the policy's own, by its number in the instance.
    Owned(u32),
}

impl MaskWords {
    /// The first `n` CPUs.
    pub fn first_n(n: usize) -> Self {
        (0..n).fold(Self::default(), |words, cpu| words.with(cpu, true))
    }

    /// Is `cpu` in it?
    pub fn test(&self, cpu: usize) -> bool {
        self.0.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 != 0)
    }

    /// The first CPU in it.
    pub fn first(&self) -> Option<usize> {
        let word = self.0.iter().position(|&word| word != 0)?;
        Some(word * 64 + self.0[word].trailing_zeros() as usize)
    }

    /// How many there are in it.
    pub fn weight(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.weight() == 0
    }

    pub(crate) fn with(mut self, cpu: usize, there: bool) -> Self {
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word = *word & !(1 << (cpu % 64)) | u64::from(there) << (cpu % 64);
        }
        self
    }

    pub(crate) fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        let mut out = self;
        out.0.iter_mut().zip(other.0).for_each(|(word, other)| *word = f(*word, other));
        out
    }

    pub(crate) fn and(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }
}
