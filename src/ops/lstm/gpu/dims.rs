//! The uniform of the LSTM's kernels: `Dims` of `shaders/lstm/parts/rows.wgsl`, word by word.

/// A uniform of 32-bit words, with its fields as the WGSL names them and what each says.
macro_rules! uniform {
    ($(#[$about:meta])* $name:ident { $($field:ident: $kind:ident, $says:literal;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Default)]
        pub(crate) struct $name { $(#[doc = $says] pub(crate) $field: $kind,)* }

        impl $name {
            /// Name and type of each word: a test compares them with the parsed WGSL.
            pub(crate) const FIELDS: &[(&str, &str)] =
                &[$((stringify!($field), stringify!($kind))),*];

            pub(crate) fn words(&self) -> [u32; Self::FIELDS.len()] {
                [$(bytemuck::cast(self.$field)),*]
            }
        }
    };
}

uniform! {
    /// What a kernel of the LSTM is told of the chunk of a batch that it runs.
    Dims {
        b: u32, "Rows of the chunk.";
        t: u32, "Timesteps of the chunk.";
        h: u32, "Hidden units.";
        first_row: u32, "First row of the chunk, in the order of the lengths' table.";
        first_frame: u32, "What the lengths' table counts as the chunk's first frame.";
        first_step: u32, "First timestep of the chunk.";
        timesteps: u32, "Timesteps of the batch.";
        step: u32, "Timestep of the chunk, in kernels of one step; the first of a persistent launch.";
        c_offset: u32, "Words from h to c in a state.";
        state_in: u32, "First word of the state before the chunk.";
        state_out: u32, "First word of the state behind the chunk.";
        y_stride: u32, "Words from one frame of the outputs to the next.";
        y_offset: u32, "First column of the outputs in a frame.";
        sequences: u32, "Whether there are outputs, or gradients of them.";
        initial: u32, "Whether there is a state before the first step; else it is 0.";
        reverse: u32, "Whether a lane runs from a row's last step to its first: a bit for each.";
        packed: u32, "Whether the outputs lie without padding, as the lengths' table has their frames.";
        deal: u32, "Shares of a grid's workgroups that are run at a time.";
        before: u32, "Whether the gradient of the state before the chunk is wanted.";
        frames: u32, "Frames from one lane's to the next's, in the gates and the kept states.";
        r_way: u32, "vec4s from one lane's R to the next's.";
        p_way: u32, "vec4s from one lane's peepholes to the next's.";
        y_way: u32, "Words from one lane's outputs to the next's.";
        key2: u32, "First word of the second lane's random key.";
        key3: u32, "Second word of the second lane's random key.";
        key0: u32, "First word of the first lane's random key.";
        key1: u32, "Second word of the first lane's random key.";
        dropout: f32, "Rate of the dropout of h on its way to the next step.";
        zoneout_h: f32, "Rate of the zoneout of h.";
        zoneout_c: f32, "Rate of the zoneout of c.";
        training: u32, "Whether random numbers are drawn.";
        recurrent: u32, "Activation of i, f and o, by its number.";
        recurrent_alpha: f32, "Alpha of the activation `recurrent`.";
        recurrent_beta: f32, "Beta of the activation `recurrent`.";
        input: u32, "Activation of g, by its number.";
        input_alpha: f32, "Alpha of the activation `input`.";
        input_beta: f32, "Beta of the activation `input`.";
        output: u32, "Activation of c on its way to h, by its number.";
        output_alpha: f32, "Alpha of the activation `output`.";
        output_beta: f32, "Beta of the activation `output`.";
        coupled: u32, "Coupling of i and f, by its number.";
        clip: f32, "Bound of the gates' sums; the largest float without one.";
        cell_clip: f32, "Bound of c; the largest float without one.";
        held_low: f32, "Least value of i, f and o whose sum the bound held.";
        held_high: f32, "Largest value of i, f and o whose sum the bound held.";
        held_g_low: f32, "Least value of g whose sum the bound held.";
        held_g_high: f32, "Largest value of g whose sum the bound held.";
        peepholes: u32, "Whether there are peepholes.";
        until: u32, "Persistent launches: the timestep behind the last one.";
        control: u32, "Persistent launches: where the words that control them begin in the exchange.";
        mode: u32, "Persistent launches: run, recover, probe or alone.";
        polls: u32, "Persistent launches: how often an invocation looks for a word before it gives up.";
        fault: u32, "Persistent launches: the fault that a test wants; 0 for none.";
        team_rows: u32, "Persistent launches: rows of a team.";
        offset: u32, "Persistent launches: from a ticket to the number of a workgroup, modulo 2^32.";
        inputs: u32, "Fused launches: values of an input.";
        w_at: u32, "Fused launches: the vec4 at which the input's weights begin.";
        w_way: u32, "Fused launches: vec4s from one lane's to the next's, modulo 2^32.";
        bias_at: u32, "Fused launches: the vec4 at which the bias begins; 2^31 without one.";
        bias_way: u32, "Fused launches: vec4s from one lane's to the next's, modulo 2^32.";
    }
}
