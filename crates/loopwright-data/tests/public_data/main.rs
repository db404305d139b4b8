//! What the algorithms do on real public rows, where they are at hand: `LOOPWRIGHT_DATASETS` names the folder.

mod labels;
mod rows;
