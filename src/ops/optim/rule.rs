//! The rules by which optimizers move parameters, and what of them goes with the number of the step.

/// A rule: its number in `shaders/optim/parts/rules.wgsl`; `update.wgsl` has the formulas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Descent,
    Momentum,
    Nesterov,
    Adam,
    AmsGrad,
    Adamax,
    NAdam,
    RAdam,
    RmsProp,
    RmsPropMomentum,
    RmsPropCentered,
    RmsPropCenteredMomentum,
    Adagrad,
    Adadelta,
    Lion,
}

impl Kind {
    /// Every rule, in the order of their numbers.
    pub(crate) const ALL: [Self; 15] = [
        Self::Descent,
        Self::Momentum,
        Self::Nesterov,
        Self::Adam,
        Self::AmsGrad,
        Self::Adamax,
        Self::NAdam,
        Self::RAdam,
        Self::RmsProp,
        Self::RmsPropMomentum,
        Self::RmsPropCentered,
        Self::RmsPropCenteredMomentum,
        Self::Adagrad,
        Self::Adadelta,
        Self::Lion,
    ];

    /// What is kept for each parameter, by PyTorch's names.
    pub(crate) fn slots(self) -> &'static [&'static str] {
        match self {
            Self::Descent => &[],
            Self::Momentum | Self::Nesterov => &["momentum_buffer"],
            Self::Adam | Self::NAdam | Self::RAdam => &["exp_avg", "exp_avg_sq"],
            Self::AmsGrad => &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"],
            Self::Adamax => &["exp_avg", "exp_inf"],
            Self::RmsProp => &["square_avg"],
            Self::RmsPropMomentum => &["square_avg", "momentum_buffer"],
            Self::RmsPropCentered => &["square_avg", "grad_avg"],
            Self::RmsPropCenteredMomentum => &["square_avg", "grad_avg", "momentum_buffer"],
            Self::Adagrad => &["sum"],
            Self::Adadelta => &["square_avg", "acc_delta"],
            Self::Lion => &["exp_avg"],
        }
    }
}

/// A rule with its options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    pub(crate) rate: f32,
    /// Of the first mean, or the momentum.
    pub(crate) beta1: f32,
    /// Of the mean of squares; Lion's of its mean.
    pub(crate) beta2: f32,
    pub(crate) epsilon: f32,
    /// The share that a parameter loses in a step.
    pub(crate) decay: f32,
    /// The share of a parameter that its gradient gains.
    pub(crate) l2: f32,
    /// Adagrad's decay of its rate; the exponent of NAdam's momentum.
    pub(crate) slowing: f32,
    /// What the slots hold before the first step.
    pub(crate) first: f32,
}

impl Rule {
    /// A rule without any option but its rate.
    pub(crate) fn new(kind: Kind, rate: f32) -> Self {
        let (beta1, beta2, epsilon, decay, l2, slowing, first) =
            (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0);
        Self { kind, rate, beta1, beta2, epsilon, decay, l2, slowing, first }
    }

    /// The factors x, y, z of `update.wgsl` for step `t`, from 1 on. `product` is that of all of NAdam's
    /// momentums so far, 1 at first.
    pub(crate) fn factors(&self, t: i32, product: &mut f64) -> [f32; 3] {
        let rate = f64::from(self.rate);
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(t);
        let [x, y, z] = match self.kind {
            Kind::Adam | Kind::AmsGrad => {
                [rate / correction(self.beta1), correction(self.beta2).sqrt(), 0.0]
            }
            Kind::Adamax => [rate / correction(self.beta1), 1.0, 0.0],
            Kind::NAdam => {
                let (now, next) = (self.momentum(t), self.momentum(t + 1));
                *product *= now;
                let x = rate * (1.0 - now) / (1.0 - *product);
                let z = rate * next / (1.0 - *product * next);
                [x, correction(self.beta2).sqrt(), z]
            }
            Kind::RAdam => {
                let x = rate / correction(self.beta1);
                let (most, squares) = (self.longest(), correction(self.beta2));
                let l = most - 2.0 * f64::from(t) * (1.0 - squares) / squares;
                if l > 5.0 {
                    let share = (l - 4.0) * (l - 2.0) * most / ((most - 4.0) * (most - 2.0) * l);
                    [x * (share * squares).sqrt(), 1.0, 0.0]
                } else {
                    [x, 0.0, 0.0]
                }
            }
            Kind::Adagrad => [rate / (1.0 + f64::from(t - 1) * f64::from(self.slowing)), 1.0, 0.0],
            _ => [rate, 1.0, 0.0],
        };
        [x as f32, y as f32, z as f32]
    }

    /// NAdam's momentum at step `t`.
    fn momentum(&self, t: i32) -> f64 {
        let left = LEFT.powf(f64::from(t) * f64::from(self.slowing));
        f64::from(self.beta1) * (1.0 - 0.5 * left)
    }

    /// RAdam's ρ∞.
    fn longest(&self) -> f64 {
        2.0 / (1.0 - f64::from(self.beta2)) - 1.0
    }

    /// The words of `step_factors.wgsl`.
    pub(super) fn words(&self) -> [u32; 7] {
        // The logarithm of 0 as one that leaves nothing.
        let log = |beta: f32| beta.ln().max(-200.0);
        let slowing = match self.kind {
            Kind::NAdam => (LEFT.ln() * f64::from(self.slowing)) as f32,
            _ => self.slowing,
        };
        // Not of the rounded logarithm: the two terms nearly cancel.
        let gap = self.longest() + 2.0 / f64::from(self.beta2).ln().max(-200.0);
        let logs = [log(self.beta1), log(self.beta2)];
        let ends = [self.longest() as f32, gap as f32];
        [self.rate, self.beta1, logs[0], logs[1], slowing, ends[0], ends[1]].map(f32::to_bits)
    }
}

/// What a step leaves of the half by which NAdam's momentum is less at first (Dozat 2016).
const LEFT: f64 = 0.96;
