//! What the algorithms do on real public rows, where they are at hand: `LOOPWRIGHT_DATASETS` names the folder.

mod augmentation;
mod contamination;
mod labels;
mod rows;
