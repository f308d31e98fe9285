//! Precision, recall and F1 from how often each class was said, was right, and was both.

/// The classes that precision, recall and F1 are taken over: scikit-learn's `average`.
///
/// A class is one of those that a cross-entropy tells apart; with a binary cross-entropy of one output no
/// (0) and yes (1), of several outputs yes at each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Average {
    /// All answers together. Where each row has one class this is the accuracy.
    Micro,
    /// The mean over the classes. A class that is neither a label nor an answer is left out, unless
    /// there are several binary outputs, of which all count.
    Macro,
    /// The mean over the classes, each as often as it is a label.
    Weighted,
    /// One class alone: 1 is yes of a model with one output, scikit-learn's `binary`.
    Class(usize),
}

/// The weights of the rows with an answer, with a label, and with both alike, for each class.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Counts {
    pub(crate) classes: Vec<[f64; 3]>,
    /// Whether each class is a column of its own, with yes and no.
    pub(crate) columns: bool,
}

/// A share; 0 of nothing, as scikit-learn's `zero_division=0`.
pub(super) fn share(a: f64, of: f64) -> f64 {
    if of == 0.0 { 0.0 } else { a / of }
}

impl Counts {
    pub(crate) fn precision(&self, average: Average) -> f64 {
        self.averaged(average, |classes| {
            let [answers, _, both] = self.sums(classes);
            share(both, answers)
        })
    }

    pub(crate) fn recall(&self, average: Average) -> f64 {
        self.averaged(average, |classes| {
            let [_, labels, both] = self.sums(classes);
            share(both, labels)
        })
    }

    pub(crate) fn f1(&self, average: Average) -> f64 {
        self.averaged(average, |classes| {
            let [answers, labels, both] = self.sums(classes);
            share(2.0 * both, answers + labels)
        })
    }

    /// What `of` makes of some classes together, or of each of them alone.
    pub(crate) fn averaged(&self, average: Average, of: impl Fn(&[usize]) -> f64) -> f64 {
        let all: Vec<_> = (0..self.classes.len()).collect();
        match average {
            Average::Micro => of(&all),
            Average::Class(class) if class < all.len() => of(&[class]),
            Average::Class(_) => 0.0,
            Average::Weighted => {
                let labels = |&class: &usize| self.classes[class][1];
                let values = all.iter().map(|class| labels(class) * of(&[*class]));
                share(values.sum(), all.iter().map(labels).sum())
            }
            Average::Macro => {
                let values = all.iter().filter(|&&class| self.occurs(class)).map(|&c| of(&[c]));
                let (sum, count) = values.fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
                share(sum, count)
            }
        }
    }

    /// Whether a class is a label or an answer, or one of several yes and no.
    pub(crate) fn occurs(&self, class: usize) -> bool {
        let [answers, labels, _] = self.classes[class];
        self.columns || answers > 0.0 || labels > 0.0
    }

    /// Of some classes together.
    fn sums(&self, classes: &[usize]) -> [f64; 3] {
        let add = |a: [f64; 3], b: [f64; 3]| [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
        classes.iter().map(|&class| self.classes[class]).fold([0.0; 3], add)
    }

    /// Matthews' coefficient of correlation for any number of classes (Gorodkin 2004).
    pub(crate) fn mcc(&self) -> f64 {
        let all: Vec<_> = (0..self.classes.len()).collect();
        let [answered, rows, both] = self.sums(&all);
        // Rows without an answer answer with a class that no row has.
        let silent = (rows - answered).max(0.0);
        let (mut of_both, mut of_answers, mut of_labels) = (0.0, silent * silent, 0.0);
        for [answers, labels, _] in &self.classes {
            of_both += answers * labels;
            of_answers += answers * answers;
            of_labels += labels * labels;
        }
        let spread = (rows * rows - of_answers) * (rows * rows - of_labels);
        if spread > 0.0 { (both * rows - of_both) / spread.sqrt() } else { 0.0 }
    }
}
