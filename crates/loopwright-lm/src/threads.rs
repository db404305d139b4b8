//! The threads of the process.

/// How many threads the tensor library starts for its own operations.
const THREADS_OF_TENSORS: &str = "CANDLE_NUM_THREADS";

/// Keeps the tensor library's operations on the thread that asks for them: we share out the work ourselves, and the
/// library's threads, which wait for each other in a busy loop, would take the processor from ours (a third of the time of a
/// training step on two cores). Leaves a number that the user has set.
///
/// Call it first thing in `main`.
///
/// # Safety
///
/// No other thread may run yet: it sets an environment variable.
#[allow(unsafe_code)]
pub unsafe fn keep_tensors_on_one_thread() {
    if std::env::var_os(THREADS_OF_TENSORS).is_none() {
        // SAFETY: the caller says that there is no other thread.
        unsafe { std::env::set_var(THREADS_OF_TENSORS, "1") };
    }
}
