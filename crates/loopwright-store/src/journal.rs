//! The journal: what must not be lost when the process is killed, and what the database is too slow for.
//!
//! A server appends a small record before the last byte of an answer goes out. One `write` is enough: what the system
//! has taken over survives the process, though not the machine ([`JournalSync::Each`] is for that). Behind the answer's
//! path the records are folded into the database in batches. The place up to which that was done is kept in the same
//! transaction ([`Change::Spend`](crate::Change)), so that a record is folded in exactly once, wherever a kill comes.
//!
//! ```text
//! journal/0.lock   held by the server that writes into journal/0
//! journal/0/       0000000000000007.log   "LWJRNL01", then records: length u32, CRC-32 u32 of the rest, the rest
//! ```
//!
//! A process never goes on in a file of another: it begins a new one. So a torn end can only be the end of a file, and
//! the reader goes on with the next.

use crate::{
    Error, Kind, Result,
    error::Doing,
    key::Layout,
    lock::{self, FileLock},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Each file begins with it.
const MAGIC: &[u8; 8] = b"LWJRNL01";
/// Length and checksum before each record.
const FRAME_BYTES: usize = 8;
/// Longest record.
pub const RECORD_BYTES_MAX: usize = 16 << 20;
/// A file that is longer is not written on.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// Servers on one project, at most.
const SLOTS_MAX: u32 = 64;

/// When a record counts as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalSync {
    /// When the operating system has it: it survives the process.
    #[default]
    Os,
    /// When the disk has it: it survives a power failure, and costs milliseconds each.
    Each,
}

/// A place in a journal: behind a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalMark {
    /// Whose journal.
    pub slot: u32,
    /// Which file of it, counted from 1.
    pub segment: u64,
    /// How many bytes into it.
    pub offset: u64,
}

/// A server's journal, open for writing. Dropping it gives its slot back.
#[derive(Debug)]
pub struct Journal {
    layout: Layout,
    slot: u32,
    sync: JournalSync,
    bytes_max: u64,
    active: Mutex<Active>,
    _lock: FileLock,
}

#[derive(Debug)]
struct Active {
    file: File,
    segment: u64,
    offset: u64,
    /// Bytes of the files before this one.
    bytes_before: u64,
}

/// Records read, oldest first.
#[derive(Debug, Default)]
pub struct JournalPage {
    /// Each with the place behind it.
    pub records: Vec<(JournalMark, Vec<u8>)>,
    /// Bytes at the ends of files that are no whole record: what was being written when a process was killed.
    pub n_torn_bytes: u64,
}

impl Journal {
    /// The first journal that no living process has.
    ///
    /// `folded` are the marks in the database. `bytes_max` bounds what may wait: beyond, [`Journal::append`] refuses.
    pub fn open(layout: &Layout, folded: &[JournalMark], sync: JournalSync, bytes_max: u64) -> Result<Self> {
        make_root(layout)?;
        for slot in 0..SLOTS_MAX {
            if let Some(lock) = lock::try_exclusive(&layout.journal_lock(slot)) {
                return Self::of_slot(layout, slot, lock, folded, sync, bytes_max);
            }
        }
        Err(Error::new(Kind::Conflict, format!("{SLOTS_MAX} servers have a journal of this project open already")))
    }

    /// Journals of servers that are gone, with something left in them.
    pub fn abandoned(layout: &Layout, folded: &[JournalMark]) -> Result<Vec<Self>> {
        let mut found = Vec::new();
        for slot in 0..SLOTS_MAX {
            if !layout.journal(slot).exists() || segments(layout, slot)?.iter().all(|it| it.bytes <= MAGIC.len() as u64)
            {
                continue;
            }
            if let Some(lock) = lock::try_exclusive(&layout.journal_lock(slot)) {
                found.push(Self::of_slot(layout, slot, lock, folded, JournalSync::Os, u64::MAX)?);
            }
        }
        Ok(found)
    }

    fn of_slot(
        layout: &Layout,
        slot: u32,
        lock: FileLock,
        folded: &[JournalMark],
        sync: JournalSync,
        bytes_max: u64,
    ) -> Result<Self> {
        let dir = layout.journal(slot);
        fs::create_dir_all(&dir).doing(|| format!("make folder `{}`", dir.display()))?;
        let there = segments(layout, slot)?;
        // The database may know of a later file than the folder does, if somebody emptied it.
        let known = folded.iter().filter(|mark| mark.slot == slot).map(|mark| mark.segment).max().unwrap_or_default();
        let last = there.iter().map(|it| it.number).max().unwrap_or_default().max(known);
        let (file, offset) = new_segment(layout, slot, last + 1)?;
        for empty in there.iter().filter(|it| it.bytes <= MAGIC.len() as u64) {
            remove(&empty.path)?;
        }
        let bytes_before = there.iter().filter(|it| it.bytes > MAGIC.len() as u64).map(|it| it.bytes).sum();
        let active = Mutex::new(Active { file, segment: last + 1, offset, bytes_before });
        Ok(Self { layout: layout.clone(), slot, sync, bytes_max, active, _lock: lock })
    }

    /// Which journal of the project this is.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Bytes that wait to be folded in.
    pub fn n_bytes(&self) -> u64 {
        let active = self.lock();
        active.bytes_before + active.offset - MAGIC.len() as u64
    }

    /// The place behind the newest record.
    pub fn end(&self) -> JournalMark {
        let active = self.lock();
        JournalMark { slot: self.slot, segment: active.segment, offset: active.offset }
    }

    /// Does a record count as written only when the disk has it?
    pub fn waits_for_disk(&self) -> bool {
        self.sync == JournalSync::Each
    }

    /// Appends a record. When this returns, the record survives the end of the process.
    pub fn append(&self, record: &[u8]) -> Result<JournalMark> {
        if record.is_empty() || record.len() > RECORD_BYTES_MAX {
            let message = format!("a journal's record has 1 to {RECORD_BYTES_MAX} bytes, got {}", record.len());
            return Err(Error::new(Kind::Bug, message));
        }
        let mut frame = Vec::with_capacity(FRAME_BYTES + record.len());
        frame.extend_from_slice(&(record.len() as u32).to_le_bytes());
        frame.extend_from_slice(&crc32fast::hash(record).to_le_bytes());
        frame.extend_from_slice(record);
        let mut active = self.lock();
        if active.bytes_before + active.offset + frame.len() as u64 > self.bytes_max {
            return Err(Error::new(
                Kind::Full,
                format!("the journal has reached its bound of {} bytes", self.bytes_max),
            ));
        }
        if active.offset > SEGMENT_BYTES_MAX {
            self.rotate(&mut active)?;
        }
        self.write(&mut active, &frame)?;
        Ok(JournalMark { slot: self.slot, segment: active.segment, offset: active.offset })
    }

    fn write(&self, active: &mut Active, frame: &[u8]) -> Result<()> {
        let written = active.file.write_all(frame).and_then(|()| match self.sync {
            JournalSync::Os => Ok(()),
            JournalSync::Each => active.file.sync_data(),
        });
        match written {
            Ok(()) => {
                active.offset += frame.len() as u64;
                Ok(())
            }
            Err(error) => {
                // A part of the record may be there: what follows must not stand behind it.
                let back = active.file.set_len(active.offset).and_then(|()| active.file.seek(SeekFrom::End(0)));
                if back.is_err() {
                    self.rotate(active)?;
                }
                Err(error).doing(|| format!("write the journal `{}`", self.layout.journal(self.slot).display()))
            }
        }
    }

    fn rotate(&self, active: &mut Active) -> Result<()> {
        let (file, offset) = new_segment(&self.layout, self.slot, active.segment + 1)?;
        active.bytes_before += active.offset;
        active.file = file;
        active.segment += 1;
        active.offset = offset;
        Ok(())
    }

    /// Whole records behind this place, oldest first, until about `bytes_max` of them are read.
    pub fn read_after(&self, after: Option<JournalMark>, bytes_max: usize) -> Result<JournalPage> {
        let end = self.end();
        let start = after.filter(|mark| mark.slot == self.slot).unwrap_or_default();
        let mut page = JournalPage::default();
        let mut n_bytes = 0;
        for segment in segments(&self.layout, self.slot)? {
            if segment.number < start.segment || segment.number > end.segment || n_bytes >= bytes_max {
                continue;
            }
            let from = if segment.number == start.segment { start.offset } else { MAGIC.len() as u64 };
            let to = if segment.number == end.segment { end.offset } else { u64::MAX };
            let mut reader = SegmentReader::open(&segment, from, to)?;
            while n_bytes < bytes_max
                && let Some(record) = reader.next()?
            {
                n_bytes += record.len();
                let mark = JournalMark { slot: self.slot, segment: segment.number, offset: reader.offset };
                page.records.push((mark, record));
            }
            if n_bytes < bytes_max {
                page.n_torn_bytes += reader.n_left();
            }
        }
        Ok(page)
    }

    /// Deletes what lies before this place, as far as whole files go. If the newest file was folded in to its end and
    /// `may_begin_anew` says so, a new one takes its place.
    pub fn forget(&self, through: JournalMark, may_begin_anew: bool) -> Result<()> {
        let mut active = self.lock();
        let is_all = through.segment == active.segment && through.offset == active.offset;
        if is_all && may_begin_anew && active.offset > MAGIC.len() as u64 {
            self.rotate(&mut active)?;
        }
        let keep_from = if is_all { active.segment } else { through.segment };
        let mut bytes_before = 0;
        for segment in segments(&self.layout, self.slot)? {
            if segment.number < keep_from {
                remove(&segment.path)?;
            } else if segment.number < active.segment {
                bytes_before += segment.bytes;
            }
        }
        active.bytes_before = bytes_before;
        Ok(())
    }

    /// Begins a new file, whose number is returned.
    pub fn begin_anew(&self) -> Result<u64> {
        let mut active = self.lock();
        self.rotate(&mut active)?;
        Ok(active.segment)
    }

    /// True once the newest file is so long that it should be left behind.
    pub fn is_long(&self) -> bool {
        self.lock().offset > SEGMENT_BYTES_MAX / 8
    }

    fn lock(&self) -> MutexGuard<'_, Active> {
        // A panic between two fields of it would be in this file, which has none.
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_root(layout: &Layout) -> Result<()> {
    let root = layout.journals();
    fs::create_dir_all(&root).doing(|| format!("make folder `{}`", root.display()))
}

fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).doing(|| format!("delete `{}`", path.display()))
}

fn new_segment(layout: &Layout, slot: u32, number: u64) -> Result<(File, u64)> {
    let path = layout.journal_segment(slot, number);
    let making = || format!("make the journal's file `{}`", path.display());
    let mut file = File::options().create_new(true).read(true).append(true).open(&path).doing(making)?;
    file.write_all(MAGIC).doing(making)?;
    Ok((file, MAGIC.len() as u64))
}

/// A file of a journal.
#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    path: PathBuf,
}

/// The files of a journal, oldest first.
fn segments(layout: &Layout, slot: u32) -> Result<Vec<Segment>> {
    let dir = layout.journal(slot);
    let reading = || format!("read folder `{}`", dir.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(&dir).doing(reading)? {
        let entry = entry.doing(reading)?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|number| number.parse().ok());
        if let Some(number) = number {
            let bytes = entry.metadata().doing(reading)?.len();
            found.push(Segment { number, bytes, path: entry.path() });
        }
    }
    found.sort_by_key(|segment| segment.number);
    Ok(found)
}

struct SegmentReader {
    file: std::io::BufReader<File>,
    offset: u64,
    end: u64,
}

impl SegmentReader {
    fn open(segment: &Segment, from: u64, to: u64) -> Result<Self> {
        let reading = || format!("read the journal's file `{}`", segment.path.display());
        let mut file = File::open(&segment.path).doing(reading)?;
        let end = file.metadata().doing(reading)?.len().min(to);
        let mut magic = [0; MAGIC.len()];
        let is_ours = end >= MAGIC.len() as u64 && file.read_exact(&mut magic).is_ok() && magic == *MAGIC;
        // A file that was not even begun, or is not ours, has nothing to read.
        let offset = if is_ours { from.max(MAGIC.len() as u64) } else { 0 };
        file.seek(SeekFrom::Start(offset)).doing(reading)?;
        let end = if is_ours { end } else { 0 };
        Ok(Self { file: std::io::BufReader::with_capacity(64 << 10, file), offset, end })
    }

    /// The next whole record; none at the end, or from the first damage on.
    fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let mut frame = [0; FRAME_BYTES];
        if self.n_left() < FRAME_BYTES as u64 || !self.fill(&mut frame)? {
            return Ok(None);
        }
        let length = u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize;
        let sum = u32::from_le_bytes([frame[4], frame[5], frame[6], frame[7]]);
        let whole = (FRAME_BYTES + length) as u64;
        if length == 0 || length > RECORD_BYTES_MAX || self.n_left() < whole {
            return Ok(None);
        }
        let mut record = vec![0; length];
        if !self.fill(&mut record)? || crc32fast::hash(&record) != sum {
            return Ok(None);
        }
        self.offset += whole;
        Ok(Some(record))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool> {
        match self.file.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error).doing(|| "read the journal".into()),
        }
    }

    fn n_left(&self) -> u64 {
        self.end.saturating_sub(self.offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn open(layout: &Layout) -> Journal {
        Journal::open(layout, &[], JournalSync::Os, u64::MAX).unwrap()
    }

    fn room() -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        (dir, layout)
    }

    fn records(page: JournalPage) -> Vec<String> {
        page.records.into_iter().map(|(_, record)| String::from_utf8(record).unwrap()).collect()
    }

    #[test]
    fn what_was_appended_is_read_in_order_by_the_next_owner() {
        let (_dir, layout) = room();
        let journal = open(&layout);
        let first = journal.append(b"one").unwrap();
        journal.append(b"two").unwrap();
        assert_eq!(records(journal.read_after(Some(first), 99).unwrap()), ["two"]);
        drop(journal);
        let journal = open(&layout);
        journal.append(b"three").unwrap();
        assert_eq!(records(journal.read_after(None, 99).unwrap()), ["one", "two", "three"]);
        assert_eq!(records(journal.read_after(None, 1).unwrap()), ["one"], "pages are bounded");
    }

    #[test]
    fn two_owners_have_two_slots_and_what_the_dead_left_is_found() {
        let (_dir, layout) = room();
        let (a, b) = (open(&layout), open(&layout));
        assert_eq!((a.slot(), b.slot()), (0, 1));
        b.append(b"left").unwrap();
        assert!(Journal::abandoned(&layout, &[]).unwrap().is_empty(), "both are alive");
        drop(b);
        let left = Journal::abandoned(&layout, &[]).unwrap();
        assert_eq!(records(left[0].read_after(None, 99).unwrap()), ["left"]);
        assert_eq!(open(&layout).slot(), 2, "whoever reads it has it");
    }

    #[test]
    fn what_was_folded_in_is_forgotten_and_numbers_never_come_back() {
        let (_dir, layout) = room();
        let journal = open(&layout);
        let mark = journal.append(b"one").unwrap();
        journal.forget(mark, true).unwrap();
        assert_eq!(journal.n_bytes(), 0);
        let later = journal.append(b"two").unwrap();
        assert!(later > mark, "{later:?} {mark:?}");
        assert_eq!(records(journal.read_after(Some(mark), 99).unwrap()), ["two"]);
        journal.forget(mark, true).unwrap();
        assert_eq!(records(journal.read_after(Some(mark), 99).unwrap()), ["two"], "what is newer stays");
        drop(journal);
        std::fs::remove_dir_all(layout.journal(0)).unwrap();
        let journal = Journal::open(&layout, &[later], JournalSync::Os, u64::MAX).unwrap();
        assert!(journal.append(b"three").unwrap() > later);
    }

    #[test]
    fn a_full_journal_refuses_and_goes_on_when_there_is_room() {
        let (_dir, layout) = room();
        let journal = Journal::open(&layout, &[], JournalSync::Each, 64).unwrap();
        let mark = journal.append(&[1; 40]).unwrap();
        assert_eq!(journal.append(&[1; 40]).unwrap_err().kind(), Kind::Full);
        journal.forget(mark, true).unwrap();
        journal.append(&[1; 40]).unwrap();
    }

    proptest! {
        /// Cut or changed anywhere, a journal gives back the records before the damage, whole and in order.
        #[test]
        fn a_torn_end_takes_nothing_else_with_it(
            texts in prop::collection::vec("[a-z]{1,40}", 1..12), cut in 0usize..600, flip in prop::option::of(0usize..600),
        ) {
            let (_dir, layout) = room();
            let journal = open(&layout);
            let marks: Vec<u64> = texts.iter().map(|text| journal.append(text.as_bytes()).unwrap().offset).collect();
            drop(journal);
            let path = layout.journal_segment(0, 1);
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(cut);
            let mut damaged_from = bytes.len() as u64;
            if let Some(at) = flip.filter(|at| *at < bytes.len()) {
                bytes[at] ^= 0x55;
                damaged_from = damaged_from.min(at as u64);
            }
            std::fs::write(&path, &bytes).unwrap();
            let journal = open(&layout);
            journal.append(b"after").unwrap();
            let n_whole = marks.iter().filter(|end| **end <= damaged_from).count();
            let read = records(journal.read_after(None, usize::MAX).unwrap());
            // A journal whose very first bytes are damaged gives nothing at all.
            let n_whole = if damaged_from < MAGIC.len() as u64 { 0 } else { n_whole };
            prop_assert_eq!(&read[..read.len() - 1], &texts[..n_whole]);
            prop_assert_eq!(read.last().map(String::as_str), Some("after"));
        }
    }
}
