//! Which of k sources comes next: a loser tree.
//!
//! Holds: one key and one node a source. Each change costs log2 k compares.
//! Source: D. E. Knuth, The Art of Computer Programming, volume 3, 5.4.1 (tree of losers).

/// Key of a source that has nothing and is not waited for.
pub const NEVER: i64 = i64::MAX;

/// A tournament of sources by (key, source number).
pub struct LoserTree {
    keys: Vec<i64>,
    /// `nodes[0]` is the winner; `nodes[i]` the loser of match i.
    nodes: Vec<u32>,
}

impl LoserTree {
    /// A tournament of `k` sources that all start with `key`.
    pub fn new(k: usize, key: i64) -> Self {
        let mut tree = LoserTree { keys: vec![key; k], nodes: vec![0; k.max(1)] };
        tree.rebuild();
        tree
    }

    fn rebuild(&mut self) {
        let k = self.keys.len();
        let mut winners = vec![0_u32; 2 * k];
        for (source, slot) in winners[k..].iter_mut().enumerate() {
            *slot = source as u32;
        }
        for node in (1..k).rev() {
            let (a, b) = (winners[2 * node], winners[2 * node + 1]);
            let (winner, loser) = if self.before(a, b) { (a, b) } else { (b, a) };
            winners[node] = winner;
            self.nodes[node] = loser;
        }
        self.nodes[0] = if k > 1 { winners[1] } else { 0 };
    }

    #[inline(always)]
    fn before(&self, a: u32, b: u32) -> bool {
        let (left, right) = (self.keys[a as usize], self.keys[b as usize]);
        (left < right) | ((left == right) & (a < b))
    }

    /// The first match of a source.
    #[inline(always)]
    fn leaf(&self, source: usize) -> usize {
        usize::midpoint(source, self.keys.len())
    }

    /// The source that comes next. Its key may be [`NEVER`]: then no source has anything.
    #[inline]
    pub fn winner(&self) -> usize {
        self.nodes[0] as usize
    }

    /// The key of a source.
    #[inline]
    pub fn key(&self, source: usize) -> i64 {
        self.keys[source]
    }

    /// Key and number of the source that would come next without the winner; `NEVER` and `u32::MAX` without another.
    #[inline]
    pub fn runner_up(&self) -> (i64, usize) {
        let (mut key, mut source) = (NEVER, u32::MAX);
        let mut node = self.leaf(self.winner());
        while node > 0 {
            let loser = self.nodes[node];
            let losers_key = self.keys[loser as usize];
            let nearer = (losers_key < key) | ((losers_key == key) & (loser < source));
            (key, source) = if nearer { (losers_key, loser) } else { (key, source) };
            node /= 2;
        }
        (key, source as usize)
    }

    /// Give the winner a new key and find who is next.
    #[inline]
    pub fn replay(&mut self, key: i64) {
        let (mut key, mut source) = (key, self.nodes[0]);
        self.keys[source as usize] = key;
        let mut node = self.leaf(source as usize);
        while node > 0 {
            // Who wins cannot be predicted: selects instead of branches.
            let loser = self.nodes[node];
            let losers_key = self.keys[loser as usize];
            let swap = (losers_key < key) | ((losers_key == key) & (loser < source));
            self.nodes[node] = if swap { source } else { loser };
            (key, source) = if swap { (losers_key, loser) } else { (key, source) };
            node /= 2;
        }
        self.nodes[0] = source;
    }

    /// One more source, with the highest number.
    pub fn add(&mut self, key: i64) {
        self.keys.push(key);
        self.nodes.resize(self.keys.len(), 0);
        self.rebuild();
    }

    /// Give any source a new key.
    pub fn set(&mut self, source: usize, key: i64) {
        if source == self.winner() {
            self.replay(key);
        } else if self.keys[source] != key {
            self.keys[source] = key;
            self.rebuild();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn winner_and_runner_up_are_the_two_smallest(
            k in 1_usize..20,
            moves in proptest::collection::vec((0_usize..20, 0_i64..5, 0..3), 1..60),
        ) {
            let mut tree = LoserTree::new(k, 0);
            let mut keys = vec![0; k];
            for (source, key, kind) in moves {
                if kind == 2 {
                    tree.add(key);
                    keys.push(key);
                } else {
                    let source = if kind == 1 { tree.winner() } else { source % k };
                    keys[source] = key;
                    if kind == 1 { tree.replay(key) } else { tree.set(source, key) }
                }
                let mut order: Vec<_> = keys.iter().copied().zip(0..).collect();
                order.sort_unstable();
                proptest::prop_assert_eq!((tree.key(tree.winner()), tree.winner()), order[0]);
                proptest::prop_assert_eq!(tree.runner_up(), *order.get(1).unwrap_or(&(NEVER, u32::MAX as usize)));
            }
        }
    }
}
