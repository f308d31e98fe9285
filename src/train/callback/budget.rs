//! Limits of a training in steps and in time.

use super::Callback;
use crate::Result;
use crate::check::check_not_zero;
use crate::file::State;
use crate::train::run::Run;
use std::time::{Duration, Instant};

/// Stops a training after so many steps, those before a checkpoint that it resumed among them.
#[derive(Debug)]
pub(in crate::train) struct MaxSteps {
    pub(in crate::train) limit: u64,
    pub(in crate::train) made: u64,
}

impl MaxSteps {
    fn look(&self, run: &mut Run<'_>) {
        if self.made >= self.limit {
            run.stop(format!("Fit::max_steps: {} steps were made", self.made));
        }
    }
}

impl Callback for MaxSteps {
    fn begin(&mut self, run: &mut Run<'_>) -> Result<()> {
        check_not_zero("Fit::max_steps", self.limit)?;
        // A training that is resumed may have made them all.
        self.look(run);
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        self.made += 1;
        self.look(run);
        Ok(())
    }

    fn state(&self) -> Result<State> {
        let mut state = State::new();
        state.set_number("made", self.made as f64);
        Ok(state)
    }

    fn set_state(&mut self, state: &State) -> Result<()> {
        self.made = state.number("made")? as u64;
        Ok(())
    }
}

/// Stops a training after the step during which a time runs out.
#[derive(Debug)]
pub(in crate::train) struct MaxTime {
    pub(in crate::train) limit: Duration,
    pub(in crate::train) began: Instant,
}

impl Callback for MaxTime {
    fn begin(&mut self, _run: &mut Run<'_>) -> Result<()> {
        self.began = Instant::now();
        Ok(())
    }

    fn after_step(&mut self, run: &mut Run<'_>) -> Result<()> {
        let spent = self.began.elapsed();
        if spent >= self.limit {
            run.stop(format!("Fit::max_time: {:.1} s have passed", spent.as_secs_f64()));
        }
        Ok(())
    }
}
