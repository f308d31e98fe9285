//! A linear-chain CRF, for one row: its score is the sum of what a path gains.

/// The numbers of a row: emissions `[T,K]`, and scores `[K+2,K]` from each tag to each, of the first and of the last.
#[derive(Clone, Copy)]
pub struct Crf<'a> {
    pub x: &'a [f64],
    pub scores: &'a [f64],
    pub k: usize,
}

/// The logarithm of a sum of exponentials.
fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY {
        return largest;
    }
    largest + logs.map(|log| (log - largest).exp()).sum::<f64>().ln()
}

impl Crf<'_> {
    pub fn frames(&self) -> usize {
        self.x.len() / self.k
    }

    fn e(&self, t: usize, tag: usize) -> f64 {
        self.x[t * self.k + tag]
    }

    fn step(&self, from: usize, to: usize) -> f64 {
        self.scores[from * self.k + to]
    }

    fn start(&self, tag: usize) -> f64 {
        self.step(self.k, tag)
    }

    fn end(&self, tag: usize) -> f64 {
        self.step(self.k + 1, tag)
    }

    /// The score of a path.
    pub fn score(&self, path: &[usize]) -> f64 {
        let ends = self.start(path[0]) + self.end(path[path.len() - 1]);
        let steps: f64 = path.windows(2).map(|step| self.step(step[0], step[1])).sum();
        ends + steps + path.iter().enumerate().map(|(t, &tag)| self.e(t, tag)).sum::<f64>()
    }

    /// Every path.
    pub fn paths(&self) -> impl Iterator<Item = Vec<usize>> + Clone + use<> {
        let (k, frames) = (self.k, self.frames());
        (0..k.pow(frames as u32))
            .map(move |number| (0..frames).map(|t| number / k.pow(t as u32) % k).collect())
    }

    /// The logarithm of the sum of e^score over all paths, by trying each.
    pub fn total_of_all(&self) -> f64 {
        log_sum(self.paths().map(|path| self.score(&path)))
    }

    /// The logarithms of what leads to each tag at each frame.
    fn forward(&self) -> Vec<f64> {
        let mut alpha: Vec<f64> = (0..self.k).map(|tag| self.start(tag) + self.e(0, tag)).collect();
        for t in 1..self.frames() {
            let before = alpha[(t - 1) * self.k..].to_vec();
            for to in 0..self.k {
                let ways = before.iter().enumerate().map(|(from, a)| a + self.step(from, to));
                alpha.push(log_sum(ways) + self.e(t, to));
            }
        }
        alpha
    }

    /// The logarithms of what follows each tag at each frame.
    fn backward(&self) -> Vec<f64> {
        let (k, frames) = (self.k, self.frames());
        let mut beta = vec![0.0; frames * k];
        for t in (0..frames).rev() {
            for from in 0..k {
                beta[t * k + from] = match t + 1 == frames {
                    true => self.end(from),
                    false => log_sum((0..k).map(|to| {
                        self.step(from, to) + self.e(t + 1, to) + beta[(t + 1) * k + to]
                    })),
                };
            }
        }
        beta
    }

    pub fn total(&self) -> f64 {
        let last = (self.frames() - 1) * self.k;
        let alpha = self.forward();
        log_sum((0..self.k).map(|tag| alpha[last + tag] + self.end(tag)))
    }

    /// -log p of a path.
    pub fn loss(&self, path: &[usize]) -> f64 {
        self.total() - self.score(path)
    }

    /// The probability of each tag at each frame, and how often each score is expected in a path.
    pub fn expected(&self) -> [Vec<f64>; 2] {
        let (k, frames) = (self.k, self.frames());
        let (alpha, beta, total) = (self.forward(), self.backward(), self.total());
        let q: Vec<f64> = alpha.iter().zip(&beta).map(|(a, b)| (a + b - total).exp()).collect();
        let mut steps = vec![0.0; (k + 2) * k];
        for t in 1..frames {
            for from in 0..k {
                for to in 0..k {
                    let log = alpha[(t - 1) * k + from] + self.step(from, to) + self.e(t, to);
                    steps[from * k + to] += (log + beta[t * k + to] - total).exp();
                }
            }
        }
        steps[k * k..][..k].copy_from_slice(&q[..k]);
        steps[(k + 1) * k..].copy_from_slice(&q[(frames - 1) * k..]);
        [q, steps]
    }

    /// The gradients of the emissions and of the scores.
    pub fn gradients(&self, path: &[usize]) -> [Vec<f64>; 2] {
        let k = self.k;
        let [mut d_x, mut d_scores] = self.expected();
        path.iter().enumerate().for_each(|(t, &tag)| d_x[t * k + tag] -= 1.0);
        path.windows(2).for_each(|step| d_scores[step[0] * k + step[1]] -= 1.0);
        d_scores[k * k + path[0]] -= 1.0;
        d_scores[(k + 1) * k + path[path.len() - 1]] -= 1.0;
        [d_x, d_scores]
    }

    /// The score of the best path.
    pub fn best(&self) -> f64 {
        let k = self.k;
        let mut best: Vec<f64> = (0..k).map(|tag| self.start(tag) + self.e(0, tag)).collect();
        for t in 1..self.frames() {
            let before = best.clone();
            for (to, best) in best.iter_mut().enumerate() {
                *best = f64::NEG_INFINITY;
                for (from, before) in before.iter().enumerate() {
                    *best = best.max(before + self.step(from, to) + self.e(t, to));
                }
            }
        }
        (0..k).map(|tag| best[tag] + self.end(tag)).fold(f64::NEG_INFINITY, f64::max)
    }
}
