//! The project's own source files, as far as an erasure must rewrite them.

use super::scan::Needles;
use crate::{
    context::Context,
    error::{Doing, Result},
};
use loopwright_store::TableKey;
use loopwright_types::subject::Erasure;
use std::path::{Component, Path, PathBuf};

/// Column names under which a source or customers file names the person.
const CUSTOMERS_ID: &str = "customer";

/// Rewrites every CSV file of the project folder without the person's rows. Files outside of the folder are not ours: the
/// erasure names them instead.
///
/// A malformed record cannot be trusted to have the person in the right field: it goes if it names the person anywhere.
pub async fn remove_subject(ctx: &Context, external_id: &str, names: &Needles, erasure: &mut Erasure) -> Result<()> {
    remove_rejected(ctx, names, erasure).await?;
    for (file, column) in files(ctx) {
        let place = file.to_string_lossy().into_owned();
        if is_outside(&file) {
            erasure.removed.insert(format!("not ours, remove it yourself: {place}"), 0);
            continue;
        }
        let path = ctx.project.dir.join(&file);
        if path.exists() {
            let n = rewrite(&path, &column, external_id, names)?;
            if n > 0 {
                *erasure.removed.entry(place).or_default() += n;
            }
        }
    }
    Ok(())
}

/// Every source and customers file of every loop, and every other CSV file beside them, with its column of persons.
fn files(ctx: &Context) -> Vec<(PathBuf, String)> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    let mut add = |file: PathBuf, column: &str| {
        if !column.is_empty() && !files.iter().any(|(known, _)| *known == file) {
            files.push((file, column.to_string()));
        }
    };
    for it in ctx.project.loops.values() {
        it.data.sources.iter().for_each(|source| add(source.into(), &it.data.subject));
        if !it.data.customers.is_empty() {
            add(it.data.customers.clone().into(), CUSTOMERS_ID);
        }
    }
    let folder = ctx.store.layout().sources();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().extension().is_some_and(|ext| ext == "csv") {
            add(Path::new("sources").join(entry.file_name()), CUSTOMERS_ID);
        }
    }
    files
}

/// Rejected rows carry no author: those go whose text names the person.
async fn remove_rejected(ctx: &Context, names: &Needles, erasure: &mut Erasure) -> Result<()> {
    for key in ctx.store.tables().all_tables().await? {
        if !matches!(key, TableKey::Rejected { .. }) {
            continue;
        }
        let rows = ctx.store.tables().read_rejected(&key).await?;
        let n_before = rows.len();
        let kept: Vec<_> = rows.into_iter().filter(|row| !names.are_in_text(&row.excerpt)).collect();
        if kept.len() < n_before {
            ctx.store.tables().write_rejected(&key, &kept).await?;
            ctx.store.tables().vacuum(&key).await?;
            *erasure.removed.entry(format!("table {}", key.path())).or_default() += (n_before - kept.len()) as u64;
        }
    }
    Ok(())
}

fn is_outside(file: &Path) -> bool {
    file.is_absolute() || file.components().any(|part| part == Component::ParentDir)
}

/// Copies the file without the records whose `column` is `external_id`, byte for byte otherwise, and swaps it in.
fn rewrite(path: &Path, column: &str, external_id: &str, names: &Needles) -> Result<u64> {
    let doing = || format!("failed to rewrite `{}`", path.display());
    let bytes = std::fs::read(path).outside(doing)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes.as_slice());
    let mut record = csv::ByteRecord::new();
    let (mut kept, mut index, mut n_columns, mut n_removed) = (Vec::with_capacity(bytes.len()), None, 0, 0);
    let mut start = 0;
    while reader.read_byte_record(&mut record).outside(doing)? {
        let end = usize::try_from(reader.position().byte()).unwrap_or(bytes.len());
        let is_header = start == 0;
        if is_header {
            index = record.iter().position(|name| name.trim_ascii() == column.as_bytes());
            n_columns = record.len();
        }
        let is_theirs =
            index.and_then(|at| record.get(at)).is_some_and(|value| value.trim_ascii() == external_id.as_bytes());
        let names_them = || record.iter().any(|field| names.are_in_text(&String::from_utf8_lossy(field)));
        if !is_header && (is_theirs || (record.len() != n_columns && names_them())) {
            n_removed += 1;
        } else {
            kept.extend_from_slice(&bytes[start..end]);
        }
        start = end;
    }
    if n_removed == 0 {
        return Ok(0);
    }
    kept.extend_from_slice(&bytes[start..]);
    let partial = path.with_extension("partial");
    std::fs::write(&partial, kept).and_then(|()| std::fs::rename(&partial, path)).outside(doing)?;
    Ok(n_removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_persons_records_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.csv");
        let text = "id,text,customer\n1,\"a, \"\"b\"\"\nc\",C-1\n2,x,C-12\n3,ragged\n4,Ada Lovett\n5,y,C-1\n";
        let names = Needles::new(["C-1".into(), "Ada Lovett".into()]).unwrap();
        std::fs::write(&path, text).unwrap();
        assert_eq!(rewrite(&path, "customer", "C-1", &names).unwrap(), 3);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "id,text,customer\n2,x,C-12\n3,ragged\n");
        assert_eq!(rewrite(&path, "customer", "C-1", &names).unwrap(), 0);
    }
}
