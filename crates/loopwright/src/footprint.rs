//! What a process that runs for long holds of the machine's memory.

#[cfg(target_os = "linux")]
pub use linux::{keep_pages_small, let_go_of_the_start};

/// See the implementation for Linux.
#[cfg(not(target_os = "linux"))]
pub fn keep_pages_small() {}

/// See the implementation for Linux.
#[cfg(not(target_os = "linux"))]
pub fn let_go_of_the_start() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::ops::Range;

    /// An idle server and a stream of rows hold little, spread thinly: huge pages would round it up (see `bench/RESULTS.md`).
    pub fn keep_pages_small() {
        // A kernel that does not know the call has no huge pages to give.
        rustix::thread::disable_transparent_huge_pages(true).ok();
    }

    /// Lets go of the pages of the program's file that are in memory. Those that only the start needed do not come back; the
    /// others do, from the system's cache, when they are next run or read.
    #[allow(unsafe_code)]
    pub fn let_go_of_the_start() {
        // Where the list cannot be had, everything stays as it is.
        let (Ok(smaps), Ok(program)) = (std::fs::read_to_string("/proc/self/smaps"), std::env::current_exe()) else {
            return;
        };
        for range in pages_of(&smaps, &program.to_string_lossy()) {
            // SAFETY: these pages are mapped from a file, nothing can write to them, and the list says that none of them differs
            // from the file, so what is read next is what was there. An error leaves them as they are.
            unsafe { libc::madvise(range.start as *mut _, range.len(), libc::MADV_DONTNEED) };
        }
    }

    /// The stretches of memory that show a file as it is: nobody may write to them, and none of their pages is a changed copy
    /// (proc(5), `/proc/pid/smaps`).
    fn pages_of(smaps: &str, file: &str) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut stretch = None;
        for line in smaps.lines() {
            if let Some((range, rest)) = head(line) {
                let is_file_as_it_is = !rest.starts_with(['-']) && !rest[..4.min(rest.len())].contains('w');
                stretch = (is_file_as_it_is && rest.ends_with(file)).then_some(range);
            } else if line.split_whitespace().eq(["Anonymous:", "0", "kB"]) {
                found.extend(stretch.take());
            }
        }
        found
    }

    /// The addresses with which a stretch begins, and the rest of the line.
    fn head(line: &str) -> Option<(Range<usize>, &str)> {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        Some((usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?, rest))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn only_unchanged_pages_of_the_program_are_let_go_of() {
            let smaps = "1000-3000 r--p 00000000 fe:00 12 /usr/bin/it\nRss: 8 kB\nAnonymous:             0 kB\n\
                         3000-5000 r-xp 00002000 fe:00 12 /usr/bin/it\nAnonymous:             4 kB\n\
                         5000-6000 rw-p 00004000 fe:00 12 /usr/bin/it\nAnonymous:             0 kB\n\
                         7000-9000 r-xp 00000000 fe:00 13 /lib/libc.so.6\nAnonymous:             0 kB\n\
                         a000-b000 r-xp 00005000 fe:00 12 /usr/bin/it\nAnonymous:             0 kB\n";
            assert_eq!(pages_of(smaps, "/usr/bin/it"), [0x1000..0x3000, 0xa000..0xb000]);
        }

        #[test]
        fn the_program_goes_on_with_fewer_pages() {
            let resident = || {
                let status = std::fs::read_to_string("/proc/self/status").unwrap();
                let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
                line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
            };
            let before = resident();
            let_go_of_the_start();
            assert!(resident() < before, "{} of {before} kB", resident());
        }
    }
}
