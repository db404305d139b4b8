//! Where there is no tile unit.

use super::pack::{Form, Line};
use crate::matrix::{Blend, Mat};

/// Whether this processor has one that we may use.
pub(crate) fn available() -> bool {
    false
}

/// The unit, of which there is none.
pub(crate) enum Unit {}

impl Unit {
    pub(crate) fn configured() -> Self {
        unreachable!("`available` said that there is no tile unit")
    }

    pub(crate) fn multiply(&self, _: (&mut [f32], usize), _: (usize, usize), _: (&[Line], &[Line]), _: Blend) {
        match *self {}
    }
}

pub(super) fn pack_tile(_: Mat, _: Form, _: &mut [Line]) {
    unreachable!("`available` said that there is no tile unit")
}
