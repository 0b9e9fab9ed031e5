//! The arguments of native methods.
//!
//! Arguments that do not fit are left to the Python function, which raises the error in its own
//! words.

use core::ffi::CStr;
use core::time::Duration;
use std::time::Instant;

use crate::capi::entry::Args;
use crate::capi::errors::Raised;
use crate::capi::object::values::Order;
use crate::capi::object::{Answer, Attached, Borrowed, Dict, Tuple};
use crate::runtime::blocking::Timeout;
use crate::sync::Deadline;
use crate::thread_module::acquire_args;

/// The arguments of a method by position, with None for each that was not given.
type Bound<'a, const N: usize> = [Option<Borrowed<'a>>; N];

/// Returns the arguments by position, None for each that was not given. `None` if they do not fit.
// Inlined always: the arguments and the result would be passed in memory.
#[inline(always)]
pub fn bind<'a, const N: usize>(args: Args<'a>, names: [&CStr; N]) -> Option<Bound<'a, N>> {
    let bound = bind_positional(args.positional())?;
    match args.names() {
        Some(keywords) => bind_keywords(keywords, args.values(), names, bound),
        None => Some(bound),
    }
}

#[inline]
fn bind_positional<'a, const N: usize>(given: &[Borrowed<'a>]) -> Option<Bound<'a, N>> {
    let mut bound = [None; N];
    for (place, &argument) in bound.get_mut(..given.len())?.iter_mut().zip(given) {
        *place = Some(argument);
    }
    Some(bound)
}

fn bind_keywords<'a, const N: usize>(
    keywords: Tuple<'a>,
    values: &[Borrowed<'a>],
    names: [&CStr; N],
    mut bound: Bound<'a, N>,
) -> Option<Bound<'a, N>> {
    for (keyword, &value) in keywords.items().iter().zip(values) {
        let place = names.iter().position(|known| keyword.is_text(known))?;
        if bound[place].replace(value).is_some() {
            return None;
        }
    }
    Some(bound)
}

/// [`bind`] for the arguments of `tp_init`.
pub fn bind_tuple<'a, const N: usize>(
    _: Attached<'_>,
    args: Tuple<'a>,
    kwargs: Option<Dict<'a>>,
    names: [&CStr; N],
) -> Option<Bound<'a, N>> {
    let mut bound = bind_positional(args.items())?;
    let Some(kwargs) = kwargs else { return Some(bound) };
    let mut unknown = kwargs.len();
    for (place, name) in bound.iter_mut().zip(names).skip(args.len()) {
        // SAFETY: nothing changes the keywords of a call before the call returns.
        *place = unsafe { kwargs.peek(name) };
        unknown -= usize::from(place.is_some());
    }
    (unknown == 0).then_some(bound)
}

/// Reads a time-out as `Condition.wait` does. `None` or no argument means no limit. A number that
/// is not larger than zero means no wait at all.
#[inline]
pub fn timeout(py: Attached<'_>, seconds: Option<Borrowed<'_>>) -> Result<Timeout, Raised> {
    let Some(seconds) = seconds.filter(|seconds| !seconds.is_none()) else {
        return Ok(Timeout::Never);
    };
    let positive = if seconds.is_exact_float() {
        // NaN is not larger than zero.
        seconds.float_value().is_some_and(|value| value > 0.0)
    } else {
        seconds.compare_with_zero(py, Order::Greater)?
    };
    if positive { acquire_args::timeout(py, true, Some(seconds)) } else { Ok(Timeout::Zero) }
}

/// Whether a time-out is not given, or is exactly of type `None`, float or int. Comparing such a
/// value runs no code of the program.
pub fn is_plain_timeout(seconds: Option<Borrowed<'_>>) -> bool {
    seconds.is_none_or(|seconds| {
        seconds.is_none() || seconds.is_exact_float() || seconds.is_exact_int()
    })
}

/// Whether [`timeout`] reads a time-out as the Python functions do that look at the clock. This is
/// so for each time-out that [`is_timeout`] accepts, except NaN.
pub fn is_ordinary_timeout(seconds: Option<Borrowed<'_>>) -> bool {
    let value = seconds.and_then(Borrowed::float_value);
    is_timeout(seconds) && !value.is_some_and(f64::is_nan)
}

/// Whether [`timeout`] reads a time-out as the Python functions do. This is so if it is not given,
/// `None` or a number, which may be of a derived type.
pub fn is_timeout(seconds: Option<Borrowed<'_>>) -> bool {
    is_plain_timeout(seconds)
        || seconds.is_some_and(|seconds| seconds.is_float() || seconds.is_int())
}

/// Returns the time left until a deadline, as an argument for a Python function: a float, or `None`
/// if there is no deadline.
pub fn remaining(py: Attached<'_>, deadline: Deadline) -> Answer {
    match deadline {
        None => Ok(py.none()),
        Some(at) => {
            let left = at.checked_duration_since(Instant::now());
            py.float(left.unwrap_or(Duration::ZERO).as_secs_f64())
        }
    }
}
